// What `lamina serve` may be told, one row each, on the command line or in a file: the same names, the same checks. What the
// command line says counts more than the file.
import { readFileSync } from 'node:fs';
import { type ByteString, fromText, toText } from '../base/index.js';
import type { BackendName, ThinOptions } from '../store/index.js';
import { THIN_ROWS } from './engines-thin.js';
import { UserError } from './output.js';
import { absoluteText } from './pool-address.js';
import { parseSize, parseWhole, parseWord } from './size.js';

/** Everything that can be set; undefined is what nobody has set. */
export interface ServeSettings {
  root: string;
  backend: BackendName;
  thin: { -readonly [K in keyof ThinOptions]: ThinOptions[K] };
  docker?: string;
  containerd?: string;
  metrics?: { host: string; port: number };
  defaultSize?: number;
  /** Seconds; 0 is no limit. */
  callTimeout: number;
  logLevel: LogLevel;
}

export type LogLevel = (typeof LEVELS)[number];

const LEVELS = ['error', 'warn', 'info', 'debug'] as const;
const LOOPBACK = '127.0.0.1';

interface Row {
  /** As on the command line, without the dashes, and in the file. */
  readonly name: string;
  readonly argument: string;
  readonly help: string;
  /** Puts a value in its place; `what` is how the user has called it. */
  set(settings: ServeSettings, value: ByteString, what: string): void;
}

/** The rows, in the order in which help shows them. */
export const SERVE_OPTIONS: readonly Row[] = [
  {
    name: 'root',
    argument: '<dir>',
    help: 'where everything is kept (default /var/lib/lamina)',
    set: (settings, value, what) => {
      settings.root = pathOf(value, what);
    },
  },
  {
    name: 'backend',
    argument: '<name>',
    help: 'union: a directory a layer; thin: a thin snapshot a layer (default union)',
    set: (settings, value, what) => {
      settings.backend = parseWord(value, what, ['union', 'thin']);
    },
  },
  {
    name: 'docker',
    argument: '<socket>',
    help: "serve Docker's graph driver and volume plugins on this unix socket",
    set: (settings, value, what) => {
      settings.docker = pathOf(value, what);
    },
  },
  {
    name: 'containerd',
    argument: '<socket>',
    help: "serve containerd's snapshotter on this unix socket",
    set: (settings, value, what) => {
      settings.containerd = pathOf(value, what);
    },
  },
  {
    name: 'default-size',
    argument: '<size>',
    help: 'what a writable layer may take when its engine does not say',
    set: (settings, value, what) => {
      settings.defaultSize = parseSize(value, what);
      if (settings.defaultSize === 0) throw new UserError(`${what}: a layer of no size holds nothing`);
    },
  },
  {
    name: 'call-timeout',
    argument: '<seconds>',
    help: "when an engine is told that a layer's storage does not answer; 0 is never (default 300)",
    set: (settings, value, what) => {
      settings.callTimeout = parseWhole(value, what, 0, 86_400);
    },
  },
  {
    name: 'metrics',
    argument: '<address>',
    help: 'answer /metrics (Prometheus) and /health at [HOST:]PORT (HOST: 127.0.0.1)',
    set: (settings, value, what) => {
      settings.metrics = addressOf(value, what);
    },
  },
  {
    name: 'log-level',
    argument: '<level>',
    help: `how much to say on stderr, as JSON: ${LEVELS.join(', ')} (default info)`,
    set: (settings, value, what) => {
      settings.logLevel = parseWord(value, what, LEVELS);
    },
  },
  ...THIN_ROWS.map(
    (row): Row => ({ ...row, set: (settings, value, what) => row.set(settings.thin, value, what) }),
  ),
];

/** The settings of a file (or none), then of the command line; `flags` by the rows' names. UserError names what is wrong. */
export function serveSettings(file: string | null, flags: ReadonlyMap<string, ByteString>): ServeSettings {
  const settings: ServeSettings = {
    ...{ root: '/var/lib/lamina', backend: 'union', thin: {}, callTimeout: 300, logLevel: 'info' },
  };
  if (file !== null) readFile(file, settings);
  for (const { name, set } of SERVE_OPTIONS) {
    const value = flags.get(name);
    if (value !== undefined) set(settings, value, `--${name}`);
  }
  if (settings.docker === undefined && settings.containerd === undefined)
    throw new UserError('what to serve: give --docker SOCKET, --containerd SOCKET, or both');
  if (settings.docker === settings.containerd)
    throw new UserError(`--docker and --containerd are two protocols, and need two sockets`);
  return settings;
}

function readFile(file: string, settings: ServeSettings): void {
  for (const [key, value] of Object.entries(objectIn(file))) {
    const row = SERVE_OPTIONS.find(({ name }) => name === key);
    if (row === undefined) {
      const known = SERVE_OPTIONS.map(({ name }) => name).join(', ');
      throw new UserError(`${file}: "${key}" is no setting; there are ${known}`);
    }
    if (typeof value !== 'string' && typeof value !== 'number')
      throw new UserError(`${file}: "${key}" has to be a text or a number`);
    row.set(settings, fromText(String(value)), `${file}: ${key}`);
  }
}

function objectIn(file: string): object {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new UserError(`--config: ${error instanceof Error ? error.message : String(error)}`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UserError(`${file} is no JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw new UserError(`${file} has to hold one JSON object, such as {"root": "/var/lib/lamina"}`);
}

function pathOf(value: ByteString, what: string): string {
  if (value === '') throw new UserError(`${what}: a path is needed`);
  return absoluteText(value);
}

function addressOf(value: ByteString, what: string): { host: string; port: number } {
  const match = /^(?:\[?([^[\]]+)\]?:)?([0-9]{1,5})$/.exec(toText(value));
  const port = Number(match?.[2] ?? Number.NaN);
  if (!(port <= 65_535))
    throw new UserError(
      `${what}: "${toText(value)}" is not an address; it is written 9090 or 127.0.0.1:9090`,
    );
  return { host: match?.[1] ?? LOOPBACK, port };
}
