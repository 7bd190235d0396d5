// A scratch directory for one test. When the test ends, however it ends, everything that was mounted below it is
// unmounted, loop devices on files in it are detached, and the directory goes.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

interface Test {
  teardown(task: () => void): void;
}

export interface Scratch {
  readonly dir: string;
  /** A path below the directory; nothing is made. */
  path(...parts: string[]): string;
  /** Makes a directory below it, with its parents. */
  mkdir(...parts: string[]): string;
  /** Writes a file below it, with its parent directories. */
  write(path: string, content: string): string;
  /** Runs `task` first when the test ends; the last one given runs first. */
  defer(task: () => void): void;
}

/** A new scratch directory in /tmp, or on a tmpfs of its own (`in: 'memory'`), removed in the teardown of `t`. */
export function scratch(
  t: Test,
  name: string,
  { in: where = 'disk' }: { in?: 'disk' | 'memory' } = {},
): Scratch {
  const dir = mkdtempSync(`/tmp/lamina-${name}-`);
  const tasks: (() => void)[] = [];
  const finish = (): void => {
    process.off('exit', finish);
    const failures: unknown[] = [];
    for (const task of tasks.splice(0).reverse()) {
      try {
        task();
      } catch (error) {
        failures.push(error);
      }
    }
    release(dir);
    if (failures.length > 0) throw failures[0];
  };
  process.on('exit', finish);
  t.teardown(finish);
  if (where === 'memory') {
    const mounted = spawnSync('mount', ['-t', 'tmpfs', 'tmpfs', dir], { encoding: 'utf8' });
    if (mounted.status !== 0) throw new Error(`no tmpfs on ${dir}: ${mounted.stderr}`);
  }
  const path = (...parts: string[]): string => join(dir, ...parts);
  return {
    dir,
    path,
    mkdir(...parts) {
      mkdirSync(path(...parts), { recursive: true });
      return path(...parts);
    },
    write(file, content) {
      mkdirSync(join(path(file), '..'), { recursive: true });
      writeFileSync(path(file), content);
      return path(file);
    },
    defer: task => tasks.push(task),
  };
}

/** Mount points at or below `dir`, in the order in which they were mounted. */
export function mountsBelow(dir: string): string[] {
  const found: string[] = [];
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const escaped = line.split(' ')[4];
    if (escaped === undefined) continue;
    const point = escaped.replace(/\\([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(parseInt(octal, 8)),
    );
    if (point === dir || point.startsWith(`${dir}/`)) found.push(point);
  }
  return found;
}

function release(dir: string): void {
  for (const point of mountsBelow(dir).reverse()) {
    if (spawnSync('umount', [point]).status !== 0) spawnSync('umount', ['-l', point]);
  }
  const loops = spawnSync('losetup', ['--list', '--noheadings', '--output', 'NAME,BACK-FILE'], {
    encoding: 'utf8',
  });
  for (const line of loops.stdout.split('\n')) {
    const [device, file] = line.trim().split(/\s+/);
    if (device && file?.startsWith(`${dir}/`)) spawnSync('losetup', ['-d', device]);
  }
  spawnSync('chattr', ['-R', '-f', '-i', '-a', dir]);
  const removed = spawnSync('rm', ['-rf', '--one-file-system', dir], { encoding: 'utf8' });
  if (removed.status !== 0) throw new Error(`cannot clean up ${dir}: ${removed.stderr}`);
}
