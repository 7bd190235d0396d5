// The words of `npm run bench -- ...`. What is wrong with them is one sentence, before anything is measured.
import { parseArgs } from 'node:util';
import { UsageError } from './place.js';

export interface Flags {
  readonly suites: readonly string[];
  readonly quick: boolean;
  readonly only: RegExp;
  /** Undefined: all of them, or with --quick those that a suite chooses. */
  readonly subjects: readonly string[] | undefined;
  readonly trials: number;
  readonly dir: string;
  readonly json: string | undefined;
  readonly html: string | undefined;
  readonly picture: string | undefined;
  /** Results that are shown instead of measuring. */
  readonly from: string | undefined;
  readonly check: boolean;
  readonly list: boolean;
  readonly help: boolean;
}

export const HELP = `npm run bench -- [FLAGS]        as root: it mounts file systems

  --suite union|thin|engines|all    what is measured (union)
  --quick                           small trees, few workloads, the nearest peers, one trial: under three minutes
  --only REGEX                      workloads whose name matches
  --subjects A,B                    only these
  --trials N                        trials of each, interleaved (5; with --quick 1)
  --dir DIR                         where its files are, on the disk that is measured (/var/tmp)
  --json FILE                       every figure, and the machine
  --html FILE                       a page with charts, in one file
  --picture FILE.png                the page's first charts; needs Debian's chromium
  --from FILE                       shows the results of an earlier --json instead of measuring
  --check                           lists where lamina misses its target; then the status is 1
  --list                            names the suites' workloads and subjects

Everything at once, as for the README:
  npm run bench -- --suite all --json build/report.json --html build/report.html --picture bench/report.png`;

const OPTIONS = {
  suite: { type: 'string', default: 'union' },
  quick: { type: 'boolean', default: false },
  only: { type: 'string', default: '' },
  subjects: { type: 'string' },
  trials: { type: 'string' },
  dir: { type: 'string', default: '/var/tmp' },
  json: { type: 'string' },
  html: { type: 'string' },
  picture: { type: 'string' },
  from: { type: 'string' },
  check: { type: 'boolean', default: false },
  list: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false, short: 'h' },
} as const;

const MOST_TRIALS = 1000;

function parse(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS }).values;
  } catch (error) {
    throw new UsageError(`${(error as Error).message.split(/[.\n]/)[0]}; --help lists the flags`);
  }
}

function pattern(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (error) {
    throw new UsageError(`--only: ${(error as Error).message}`);
  }
}

function trialsOf(text: string | undefined, quick: boolean): number {
  if (text === undefined) return quick ? 1 : 5;
  const trials = Number(text);
  if (!/^\d+$/.test(text) || trials < 1 || trials > MOST_TRIALS)
    throw new UsageError(`--trials ${text}: a number from 1 to ${MOST_TRIALS}`);
  return trials;
}

/** Throws UsageError for what is not a flag, or not what a flag takes; `known` are the suites' names. */
export function parseFlags(argv: readonly string[], known: readonly string[]): Flags {
  const { suite, only, subjects, trials, json, html, picture, from, ...rest } = parse(argv);
  const suites = suite === 'all' ? known : suite.split(',');
  for (const name of suites) {
    if (!known.includes(name)) throw new UsageError(`--suite ${name}: ${known.join(', ')} or all`);
  }
  const given = subjects?.split(',').filter(name => name !== '');
  if (given?.length === 0) throw new UsageError('--subjects: names, separated by commas');
  if (picture !== undefined && !picture.endsWith('.png'))
    throw new UsageError(`--picture ${picture}: a name that ends in .png`);
  return {
    ...rest,
    suites,
    only: pattern(only),
    subjects: given,
    trials: trialsOf(trials, rest.quick),
    json,
    html,
    picture,
    from,
  };
}
