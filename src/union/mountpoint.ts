// What can be said against a mount point before anything is mounted on it.
import { type ByteString, E, S, Stat, SysError, toText } from '../base/index.js';
import { AT, statx } from '../sys/index.js';
import { OptionError, type UnionConfig } from './unionconfig.js';

/** PATH_MAX (linux/limits.h): a path that climbs further reached the root long ago. */
const LONGEST = 4096;

/**
 * @throws SysError when there is no directory at `mountpoint`; OptionError when it lies in a layer: the daemon would wait
 * for itself whenever it looked there. /dev/fd/N, a mount that is already made, is not looked at.
 */
export function checkMountpoint(mountpoint: ByteString, config: UnionConfig): void {
  if (mountpoint.startsWith('/dev/fd/')) return;
  const stat = new Stat();
  const rc = statx(AT.FDCWD, mountpoint, 0, stat.slots);
  const what = `mount point ${toText(mountpoint)}`;
  if (rc === -E.ENOTCONN)
    throw new SysError(E.ENOTCONN, `${what} is a mount whose daemon has died; unmount it first`);
  if (rc < 0) throw new SysError(-rc, what);
  if ((stat.mode & S.IFMT) !== S.IFDIR) throw new SysError(E.ENOTDIR, what);
  const above = new Set<string>();
  for (let path = mountpoint; path.length < LONGEST && !above.has(identity(path)); path += '/..')
    above.add(identity(path));
  const itself = identity(mountpoint);
  checkLayer('upperdir', config.upper, above);
  checkLayer('workdir', config.work, above);
  above.delete(itself);
  for (const lower of config.lowers) checkLayer('lowerdir', lower, above);
}

function checkLayer(option: string, layer: ByteString | null, above: ReadonlySet<string>): void {
  if (layer === null || !above.has(identity(layer))) return;
  throw new OptionError(option, `the mount point lies in the layer ${toText(layer)}`);
}

/** What two paths of one directory share, or '' where nothing can be found out; the union says why when it opens it. */
function identity(path: ByteString): string {
  const stat = new Stat();
  return statx(AT.FDCWD, path, 0, stat.slots) < 0 ? '' : `${stat.dev}:${stat.inoHigh}:${stat.inoLow}`;
}
