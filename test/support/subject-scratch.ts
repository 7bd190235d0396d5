// Places for a test's layers: a private tmpfs, or an ext4 file system in a file on it, made anew and taken away at the
// end of the test. Fast, and the same on every machine whatever /tmp is.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { E, ok } from '../../src/base/index.js';
import { native } from '../../src/sys/index.js';
import { needsMounts } from './needs.js';

needsMounts();

export type ScratchKind = 'tmpfs' | 'ext4';

export class Scratch {
  /** An empty directory of the asked kind. */
  readonly path: string;
  private readonly mounts: string[] = [];
  private readonly holder: string;
  private count = 0;

  constructor(kind: ScratchKind = 'tmpfs') {
    this.holder = mkdtempSync(join(tmpdir(), 'difftest-'));
    ok(native.mount('tmpfs', this.holder, 'tmpfs', 0, 'size=1g,mode=0755'), 'mount tmpfs');
    this.mounts.push(this.holder);
    this.path = kind === 'tmpfs' ? this.dir('t') : this.ext4();
  }

  /** A new directory on the tmpfs. */
  private dir(prefix: string): string {
    const path = join(this.holder, `${prefix}${this.count++}`);
    mkdirSync(path);
    return path;
  }

  /** A new ext4 file system, mounted. */
  ext4(): string {
    const image = `${this.dir('image')}/ext4`;
    execFileSync('truncate', ['-s', '256M', image]);
    execFileSync('mkfs.ext4', ['-q', '-E', 'lazy_itable_init=1,lazy_journal_init=1', image], {
      stdio: 'pipe',
    });
    const path = this.dir('e');
    execFileSync('mount', ['-o', 'loop', image, path], { stdio: 'pipe' });
    this.mounts.push(path);
    return path;
  }

  /** A new directory on the other kind of file system than `path`: a plain tmpfs one. */
  onTmpfs(): string {
    return this.dir('o');
  }

  /** Unmounts and removes everything. Whoever still uses a part of it is a failure of the test. */
  remove(): void {
    for (const path of this.mounts.splice(0).reverse()) {
      const rc = native.umount(path, 0);
      // A loop device lets go of its file a moment after its mount is gone; the tmpfs then goes with it.
      if (rc === -E.EBUSY) ok(native.umount(path, 2), `umount ${path}`);
      else ok(rc, `umount ${path}`);
    }
    rmdirSync(this.holder);
  }
}
