// A file system daemon as a child of the test: started in the foreground, known to be live when its mount point is in
// the mount table, and known to be finished when its process has ended.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

export interface Daemon {
  readonly pid: number;
  /** Resolves when the process has ended by itself after its unmount; rejects when it failed. */
  ended(): Promise<void>;
}

/** Starts `node ARGV...`; resolves when `mountpoint` is mounted, rejects with its message when it ends before. */
export async function startDaemon(
  argv: readonly string[],
  mountpoint: string,
  program = process.execPath,
): Promise<Daemon> {
  const child = spawn(program, argv, { stdio: ['ignore', 'ignore', 'pipe'], cwd: '/' });
  let message = '';
  child.stderr.setEncoding('latin1').on('data', (text: string) => {
    message += text;
  });
  const exit = exitOf(child);
  // The mount table can only be polled for; the kernel has no readable event for it that node can wait on.
  while (!isMounted(mountpoint)) {
    const early = await Promise.race([exit, delay(4, null)]);
    if (early !== null) throw new Error(`${argv.join(' ')}: ended with ${early}: ${message.trim()}`);
  }
  return {
    pid: child.pid ?? 0,
    async ended() {
      const status = await exit;
      if (status !== 'status 0')
        throw new Error(`the daemon of ${mountpoint} ended with ${status}: ${message.trim()}`);
    },
  };
}

async function exitOf(child: ChildProcess): Promise<string> {
  const [status, signal] = (await once(child, 'close')) as [number | null, string | null];
  return signal === null ? `status ${status}` : `signal ${signal}`;
}

function isMounted(mountpoint: string): boolean {
  const table = readFileSync('/proc/self/mountinfo', 'latin1');
  return table.includes(` ${mountpoint} `);
}
