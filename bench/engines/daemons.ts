// The daemons of an engine: started one after the other, and stopped in the other order, each when the one before has ended.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

/** Seconds that a daemon may take to start, and to stop. */
const PATIENCE = 30;

export class Daemons {
  private readonly running: { child: ChildProcess; ended: Promise<unknown> }[] = [];

  /** Starts a daemon and waits until `ready` says so. Its output is in `log`. */
  async start(command: string, args: readonly string[], log: string, ready: () => boolean): Promise<number> {
    const argv = ['-c', 'exec "$@" >"$0" 2>&1', log, command, ...args];
    // In a session of its own: a terminal's Ctrl-C is for the bench, which stops it in its turn.
    const child = spawn('bash', argv, { stdio: 'ignore', detached: true });
    const ended = once(child, 'exit');
    this.running.push({ child, ended });
    // What tells all daemons' readiness alike is that their client gets an answer.
    for (const until = performance.now() + PATIENCE * 1000; !ready(); await sleep(50)) {
      if (child.exitCode !== null || performance.now() > until) throw new Error(`${command}: see ${log}`);
    }
    return child.pid!;
  }

  async stop(): Promise<void> {
    for (const { child, ended } of this.running.splice(0).reverse()) {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE * 1000);
      await ended;
      clearTimeout(timer);
    }
  }
}
