// What a tree takes on disk, by walking it as du(1) does, between other work.
import { setImmediate } from 'node:timers/promises';
import { type ByteString, fromText, ok, S, Stat } from '../base/index.js';
import { AT, close, O, openChild, openPath, readDirents, statx } from '../sys/index.js';
import type { LayerUsage } from './backend.js';

const BLOCK = 512;
/** Directories that are read in one go. */
const AT_ONCE = 16;

/** Bytes of blocks and inodes below and with the directory `path`; a file with several names counts once. */
export async function measureTree(path: string): Promise<LayerUsage> {
  const seen = new Set<string>();
  const stat = new Stat();
  let bytes = 0;
  let inodes = 0;
  let turns = 0;
  const count = (): void => {
    if (stat.nlink > 1 && (stat.mode & S.IFMT) !== S.IFDIR) {
      const key = `${stat.inoHigh}:${stat.inoLow}`;
      if (seen.has(key)) return;
      seen.add(key);
    }
    bytes += stat.blocks * BLOCK;
    inodes++;
  };
  const walk = async (fd: number): Promise<void> => {
    if (++turns % AT_ONCE === 0) await setImmediate();
    const directories: ByteString[] = [];
    readDirents(fd, name => {
      // Gone since it was listed.
      if (statx(fd, name, AT.SYMLINK_NOFOLLOW, stat.slots) < 0) return;
      if ((stat.mode & S.IFMT) === S.IFDIR) directories.push(name);
      count();
    });
    for (const name of directories) {
      const child = openChild(fd, name, O.RDONLY | O.DIRECTORY, 0);
      if (child < 0) continue;
      try {
        await walk(child);
      } finally {
        close(child);
      }
    }
  };
  const root = ok(openPath(fromText(path), O.RDONLY | O.DIRECTORY), path);
  try {
    ok(statx(root, '', AT.EMPTY_PATH, stat.slots), path);
    count();
    await walk(root);
  } finally {
    close(root);
  }
  return { bytes, inodes };
}
