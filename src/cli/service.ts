// Services on a pool: operations that last until somebody ends them (mounts, NBD). In a daemon, or with -f in this process;
// SIGTERM, SIGINT and SIGHUP ask the service to end, and asked twice it ends at once.
import type { Command } from 'commander';
import { startDaemon } from './daemonise.js';
import { warn } from './output.js';
import { callPool, type OperationName, type Params } from './pool-call.js';
import { SIGNALS } from './signals.js';

export interface Service<N extends OperationName = OperationName> {
  /** The pool's directory. */
  readonly dir: string;
  readonly operation: N;
  readonly params: Params<N>;
  /** What the process is called. */
  readonly title: string;
}

export interface ServiceFlags {
  foreground?: true;
}

export function serviceOptions(command: Command): Command {
  return command.option('-f, --foreground', 'serve in this process; Ctrl-C ends it');
}

/** Starts a service as the flags say; returns when it is live, or in the foreground when it is over. */
export async function startService<N extends OperationName>(
  service: Service<N>,
  flags: ServiceFlags,
): Promise<void> {
  const note = (text: string) => warn(`note: ${text}`);
  if (flags.foreground) await runService(service, warn, notes => notes.forEach(note));
  else {
    const script = new URL('./service-daemon.js', import.meta.url);
    (await startDaemon(script, service.title, service)).forEach(note);
  }
}

/** Runs a service in this process until it is over. `log` takes what there is to say once it is live. */
export async function runService<N extends OperationName>(
  { dir, operation, params }: Service<N>,
  log: (text: string) => void,
  ready: (notes: readonly string[]) => void,
): Promise<void> {
  const { signal, restore } = endOnSignals();
  try {
    await callPool(dir, operation, params, { ready, signal, note: log });
  } finally {
    restore();
  }
}

/** A signal that is aborted by the first of SIGNALS; the second ends the process. */
export function endOnSignals(): { signal: AbortSignal; restore(): void } {
  const ending = new AbortController();
  const end = () => {
    if (ending.signal.aborted) process.exit(1);
    ending.abort();
  };
  for (const name of SIGNALS) process.on(name, end);
  return {
    signal: ending.signal,
    restore: () => {
      for (const name of SIGNALS) process.off(name, end);
    },
  };
}
