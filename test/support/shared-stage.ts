// A container store for `lamina-mount`, without an engine: the directory that callers are in, layers, mount points, and the
// processes that serve them.
import type { SpawnSyncReturns } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import type { Test } from 'tap';
import { type Scratch, scratch } from './cleanup.js';
import { CLIENT, isRunning, run, type Shell, umount, waitUntil } from './daemon.js';

/** Where root's sockets are. */
export const SOCKETS = '/run/lamina-mounts';

/** How a caller comes. */
export interface Caller extends Shell {
  /** A command that runs the program, such as `prlimit --nofile=512`. */
  readonly through?: readonly string[];
  readonly client?: string;
}

export interface Stage {
  readonly scratch: Scratch;
  readonly store: string;
  /** Makes the directories of mount `name`. */
  mount(name: string): Place;
  /** `lamina-mount -o OPTIONS MOUNTPOINT`, called in the store. */
  ask(options: string, mountpoint: string, caller?: Caller): SpawnSyncReturns<string>;
  /** The same for a place; throws unless it succeeds. */
  show(place: Place, caller?: Caller): void;
  /** The processes that serve mounts of the store. */
  servers(): number[];
  /** The one that does. */
  server(): number;
}

export interface Place {
  readonly options: string;
  readonly upper: string;
  readonly mnt: string;
}

export function stage(t: Test, { client = CLIENT }: { client?: string } = {}): Stage {
  const s = scratch(t, 'shared');
  const store = s.mkdir('store');
  const low = s.mkdir('low');
  writeFileSync(`${low}/low`, 'low');
  const ask: Stage['ask'] = (options, mountpoint, { through = [], client: other = client, ...shell } = {}) =>
    run([...through, other, '-o', options, mountpoint], { cwd: store, ...shell });
  const servers = (): number[] =>
    run(['pgrep', '-f', '-x', `lamina mounts ${store}`])
      .stdout.split('\n')
      .filter(Boolean)
      .map(Number);
  const stage: Stage = {
    scratch: s,
    store,
    mount(name) {
      const [upper, work, mnt] = ['upper', 'work', 'mnt'].map(dir => s.mkdir(name, dir)) as [
        string,
        string,
        string,
      ];
      return { options: `lowerdir=${low},upperdir=${upper},workdir=${work}`, upper, mnt };
    },
    ask,
    show(place, caller) {
      const { status, stderr } = ask(place.options, place.mnt, caller);
      if (status !== 0 || stderr !== '') throw new Error(`lamina-mount: status ${status}: ${stderr}`);
    },
    servers,
    server() {
      const found = servers();
      if (found.length !== 1) throw new Error(`${found.length} processes serve ${store}`);
      return found[0]!;
    },
  };
  s.defer(() => {
    for (const pid of servers()) if (isRunning(pid)) process.kill(pid, 'SIGKILL');
    waitUntil(() => servers().length === 0, 'the end of the processes that serve the store');
  });
  return stage;
}

/** Unmounts, and waits until `pid` has let go of the mount's upper directory. */
export function end(place: Place, pid: number): void {
  umount(place.mnt);
  waitUntil(() => !holds(pid, place.upper), `process ${pid} lets go of ${place.upper}`);
}

/** Does the process have a file below `dir` open? */
export function holds(pid: number, dir: string): boolean {
  return run(['find', `/proc/${pid}/fd`, '-lname', `${dir}*`]).stdout !== '';
}
