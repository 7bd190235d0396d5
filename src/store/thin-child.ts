// The process that works in the file systems of thin layers: their storage is served by the thread that asks for the work,
// which must not wait for it. One task (argument 1, as JSON); tars by the standard streams; the outcome on descriptor 3.
import { writeSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { E, fromText, SysError } from '../base/index.js';
import { applyLayerTar, type Change, diffTrees, type IdMap, treeTar } from '../oci/index.js';

/** `apply` takes a tar and fills `dir`; `tar` and `changes` compare it with the tree at `parent`, a snapshot's origin. */
export type ThinTask =
  | { readonly what: 'apply'; readonly dir: string; readonly ids: IdMap | null }
  | {
      readonly what: 'tar' | 'changes';
      readonly dir: string;
      readonly parent: string | null;
      readonly ids: IdMap | null;
    };

/** What comes out on descriptor 3, as JSON. Without it the process has died. */
export type ThinOutcome = { readonly result: unknown } | { readonly errno: number; readonly reason: string };

const OUTCOME_FD = 3;
/** Lines of changes that are written in one go. */
const BATCH = 512;

async function run(task: ThinTask): Promise<unknown> {
  const dir = fromText(task.dir);
  const { ids } = task;
  if (task.what === 'apply')
    return applyLayerTar(process.stdin, dir, { whiteouts: 'apply', plain: true, ids });
  const options = { parent: task.parent === null ? null : fromText(task.parent), snapshot: true };
  const output = task.what === 'tar' ? treeTar(dir, { ...options, ids }) : lines(diffTrees(dir, options));
  await pipeline(output, process.stdout);
  return null;
}

async function* lines(changes: AsyncIterable<Change>): AsyncGenerator<string, void, undefined> {
  let batch: string[] = [];
  for await (const change of changes) {
    batch.push(`${JSON.stringify(change)}\n`);
    if (batch.length < BATCH) continue;
    yield batch.join('');
    batch = [];
  }
  yield batch.join('');
}

async function outcome(): Promise<ThinOutcome> {
  try {
    return { result: await run(JSON.parse(process.argv[2]!) as ThinTask) };
  } catch (error) {
    if (error instanceof SysError) return { errno: error.errno, reason: error.what };
    return { errno: E.EIO, reason: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

writeSync(OUTCOME_FD, JSON.stringify(await outcome()));
// What still comes on standard input is nobody's.
process.exit();
