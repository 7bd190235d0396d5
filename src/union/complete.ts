// Brings the data of every metadata-only copy into the upper, when somebody asks for it: then its lower layers may change or go,
// and kernel overlayfs may mount it without metacopy=on.
import { type ByteString, DT, ok, Stat } from '../base/index.js';
import { openForReading } from '../layer/index.js';
import { close, readDirents, syncfsAsync } from '../sys/index.js';
import { copyUp } from './copyup.js';
import { lookup } from './lookup.js';
import { Dir } from './node.js';
import type { Stack } from './stack.js';

/** Returns how many files got their data, all of it on the disk. Nobody may have the upper mounted. O(what the upper has). */
export async function completeCopies(stack: Stack): Promise<number> {
  const { layer } = stack.writable();
  const out = new Stat();
  let count = 0;
  const visit = async (dir: Dir): Promise<void> => {
    for (const name of upperNames(dir)) {
      const node = lookup(stack, dir, name, out);
      if (node === null || !node.isUpper()) continue;
      if (node instanceof Dir) await visit(node);
      else if (node.data !== null) {
        await copyUp(stack, node);
        count++;
      }
      stack.shrink(node);
    }
  };
  await visit(stack.root);
  ok(await syncfsAsync(layer.rootFd), layer.path);
  return count;
}

/** Directories and regular files that the upper itself has in a directory. */
function upperNames(dir: Dir): ByteString[] {
  const names: ByteString[] = [];
  const fd = openForReading(dir.upper());
  const rc = readDirents(fd, (name, _, type) => {
    if (type === DT.DIR || type === DT.REG || type === DT.UNKNOWN) names.push(name);
  });
  close(fd);
  ok(rc, dir.describe());
  return names;
}
