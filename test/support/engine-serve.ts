// `lamina serve` as a process of a test: started, waited for by its line "ready", ended or killed, restarted.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { MAIN } from './daemon.js';

export interface Serving {
  readonly process: ChildProcess;
  /** What "ready:" was followed by. */
  readonly addresses: readonly string[];
  /** Its log so far: one JSON object a line. */
  readonly log: string[];
  /** Sends the signal; resolves to the exit status, or the signal it died of. */
  end(signal?: NodeJS.Signals): Promise<number | NodeJS.Signals>;
}

interface Teardown {
  teardown(task: () => Promise<void>): void;
}

/** Starts `lamina serve ARGS` and waits until it is ready; it is killed when the test ends. `through` is put before it. */
export async function startServe(
  t: Teardown,
  args: readonly string[],
  { through = [], env = {} }: { through?: readonly string[]; env?: Readonly<Record<string, string>> } = {},
): Promise<Serving> {
  const [command = '', ...words] = [...through, process.execPath, MAIN, 'serve', ...args];
  const child = spawn(command, words, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NODE_OPTIONS: '', ...env },
  });
  const ended = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  const log: string[] = [];
  createInterface({ input: child.stderr }).on('line', line => log.push(line));
  const end = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<number | NodeJS.Signals> => {
    child.kill(signal);
    const [status, died] = await ended;
    return status ?? died!;
  };
  t.teardown(async () => {
    await end('SIGKILL');
  });
  const addresses = await new Promise<string[]>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', line => {
      if (line.startsWith('ready: ')) resolve(line.slice(7).split(' '));
    });
    ended.then(
      ([status]) => reject(new Error(`lamina serve ended with ${status}: ${log.join('\n')}`)),
      reject,
    );
  });
  return { process: child, addresses, log, end };
}
