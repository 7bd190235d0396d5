// Every mount option laminafs knows, one row each: what it does to the configuration, or why it does nothing, or why it
// is refused. Help, parsing and the search for misspellings all read this table. The rows here act.
import { splitLayers } from './layerlist.js';
import { choice, flag, notes, type OptionRow, valued } from './optionrow.js';
import * as value from './optionvalue.js';
import { kernelRows, mountRows, peerRows } from './passiveoptions.js';
import type { UnionConfig } from './unionconfig.js';

const autoOnOff = ['auto', 'on', 'off'] as const;

const layers: OptionRow[] = [
  valued(
    'lowerdir',
    'TOP:...:BOTTOM',
    'lower layers, the leftmost on top, at most 500; \\: \\, and \\\\ for these characters in a path',
    splitLayers,
    (config, list) => {
      if (config.lowers.length > 0) config.notes.push('lowerdir: given more than once; the last one counts');
      config.lowers = list;
    },
  ),
  valued(
    'lowerdir+',
    'PATH',
    'one more lower layer below those given so far; only \\, is special',
    (_, text) => text.replaceAll('\\,', ','),
    (config, path) => void config.lowers.push(path),
  ),
  valued(
    'upperdir',
    'PATH',
    'the layer that takes the changes; without it the mount is read-only',
    value.path,
    (c, path) => {
      c.upper = path;
    },
  ),
  valued(
    'workdir',
    'PATH',
    'an empty directory beside the upper, on the same file system',
    value.path,
    (c, path) => {
      c.work = path;
    },
  ),
];

const semantics: OptionRow[] = [
  flag('ro', 'read-only', c => {
    c.readonly = true;
  }),
  flag('rw', 'writable, if there is an upper (default)', c => {
    c.readonly = false;
  }),
  choice(
    'redirect_dir',
    ['on', 'follow', 'nofollow', 'off'],
    'directories with lower content can be renamed',
    (c, word) => {
      c.redirectDir = word;
    },
  ),
  choice('index', autoOnOff, 'hard links of a lower file survive copy-up', (c, word) => {
    c.index = word;
  }),
  choice(
    'metacopy',
    ['on', 'off'],
    'on: chmod, chown and the like copy no data; kernel overlayfs then needs metacopy=on too (off)',
    (c, word) => {
      c.metacopy = word === 'on';
    },
  ),
  choice('xino', autoOnOff, 'inode numbers unique over layers on different file systems', (c, word) => {
    c.xino = word;
  }),
  flag('userxattr', 'keep bookkeeping in user.* instead of trusted.* extended attributes', c => {
    c.userxattr = 'on';
  }),
  flag('volatile', 'never sync: fast, and not to be trusted after a crash', c => {
    c.volatile = true;
  }),
  valued(
    'fsync',
    'auto|strict|volatile|0|1',
    'auto (1): a copied-up file is durable before it is seen; strict: directories too; 0: fsync does nothing',
    value.oneOf(['auto', 'strict', 'volatile', '0', '1']),
    (c, word) => {
      c.volatile ||= word === 'volatile';
      c.fsync = word === '0' || word === 'volatile' ? 'none' : word === 'strict' ? 'strict' : 'auto';
    },
  ),
  valued(
    'timeout',
    'SECONDS',
    'how long the kernel may trust what it was told (1e9)',
    value.seconds,
    (c, s) => {
      c.timeouts = { entry: s, attr: s, negative: s };
    },
  ),
  valued('entry_timeout', 'SECONDS', 'the same, for names that exist', value.seconds, (c, s) => {
    c.timeouts.entry = s;
  }),
  valued('attr_timeout', 'SECONDS', 'the same, for attributes', value.seconds, (c, s) => {
    c.timeouts.attr = s;
  }),
  valued('negative_timeout', 'SECONDS', 'the same, for names that do not exist', value.seconds, (c, s) => {
    c.timeouts.negative = s;
  }),
  valued(
    'uidmapping',
    'CONTAINER:HOST:LEN[:...]',
    "show owners shifted: a layer's id CONTAINER as HOST",
    value.idRanges,
    (c, r) => {
      c.uidMap = r;
    },
  ),
  valued('gidmapping', 'CONTAINER:HOST:LEN[:...]', 'the same for groups', value.idRanges, (c, r) => {
    c.gidMap = r;
  }),
  flag('squash_to_root', 'every file shows as owned by 0:0, and chown changes nothing', c => {
    c.squashUid = 0;
    c.squashGid = 0;
  }),
  valued('squash_to_uid', 'UID', 'every file shows as owned by this user', value.id, (c, uid) => {
    c.squashUid = uid;
  }),
  valued('squash_to_gid', 'GID', 'every file shows as owned by this group', value.id, (c, gid) => {
    c.squashGid = gid;
  }),
  valued(
    'xattr_permissions',
    '0|1|2',
    'owner and mode in an attribute: 1 security.*, 2 user.*',
    value.oneOf(['0', '1', '2']),
    (c, word) => {
      c.xattrPermissions = word === '0' ? 0 : word === '1' ? 1 : 2;
    },
  ),
  flag('static_nlink', 'directories show one link, without counting', c => {
    c.staticNlink = true;
  }),
  flag('noacl', 'no POSIX ACLs', c => {
    c.acl = false;
  }),
  flag('acl', 'POSIX ACLs (default)', c => {
    c.acl = true;
  }),
  flag('noxattrs', 'no extended attributes', c => {
    c.xattrs = false;
  }),
  valued(
    'size',
    'BYTES[K|M|G|T]',
    'the upper may hold this much, as du counts it; df shows it, and beyond it is ENOSPC. Excludes passthrough',
    value.size,
    (c, bytes) => {
      c.size = bytes;
    },
  ),
  valued(
    'inodes',
    'N',
    'the upper may hold so many files, directories, links and whiteouts',
    value.integer(1, 1e15 - 1),
    (c, n) => {
      c.inodes = n;
    },
  ),
];

const daemon: OptionRow[] = [
  choice(
    'passthrough',
    autoOnOff,
    'open files at the speed of the file system below (root only)',
    (c, word) => {
      c.passthrough = word;
    },
  ),
  choice('transport', ['dev', 'fuse-native'], 'how requests come in; fuse-native offers less', (c, word) => {
    c.transport = word;
  }),
  choice(
    'channel',
    ['auto', 'dev', 'io_uring'],
    'how the kernel hands requests over; io_uring fails where auto would take /dev/fuse',
    (c, word) => {
      c.channel = word;
    },
  ),
  valued(
    'request_timeout',
    'SECONDS',
    'the mount ends when a layer does not answer for so long, checked every 15 s; Linux 6.15 (0: never)',
    value.integer(0, 65_535),
    (c, seconds) => {
      c.requestTimeout = seconds;
    },
  ),
  valued(
    'spin',
    'MICROSECONDS',
    'busy reading before the daemon sleeps, 0 to 10000 (40)',
    value.integer(0, 10_000),
    (c, us) => {
      c.spin = us;
    },
  ),
  flag('debug', 'log every request: to stderr with -f, else to the file LAMINA_LOG names', c => {
    c.debug = true;
  }),
  valued('fsname', 'TEXT', 'the source shown in /proc/mounts', value.path, (c, text) => {
    c.mount.fsname = text;
  }),
  valued('subtype', 'TEXT', 'the type is shown as fuse.TEXT (lamina)', value.path, (c, text) => {
    c.mount.subtype = text;
  }),
  flag('allow_other', 'other users may enter (default for root)', c => {
    c.mount.allowOther = true;
  }),
  flag('default_permissions', 'the kernel checks permissions (always on)', c => {
    c.mount.defaultPermissions = true;
  }),
];

type Switch = 'nosuid' | 'nodev' | 'noexec' | 'noatime' | 'nodiratime' | 'nosymfollow' | 'sync' | 'dirsync';

/** A flag of mount(2) and the word that takes it back. */
function pair(key: Switch, off: string, help: string): OptionRow[] {
  const set = (on: boolean) => (c: UnionConfig) => {
    c.mount[key] = on;
  };
  return [flag(key, help, set(true)), flag(off, `takes ${key} back (default)`, set(false))];
}

const flags: OptionRow[] = [
  ...pair('nosuid', 'suid', 'setuid bits and file capabilities are ignored'),
  ...pair('nodev', 'dev', 'device nodes cannot be opened'),
  ...pair('noexec', 'exec', 'nothing can be executed'),
  ...pair('noatime', 'atime', 'access times are not updated'),
  ...pair('nodiratime', 'diratime', 'access times of directories are not updated'),
  ...pair('nosymfollow', 'symfollow', 'symbolic links are not followed'),
  ...pair('sync', 'async', 'every write is synchronous'),
  flag('dirsync', 'every change of a directory is synchronous', c => {
    c.mount.dirsync = true;
  }),
  ...['context', 'fscontext', 'defcontext', 'rootcontext'].map(name =>
    valued(
      name,
      'LABEL',
      'SELinux label for the mount',
      (_, text) => text,
      (c, label) => {
        c.mount.labels.push(`${name}=${label}`);
      },
    ),
  ),
];

/** All rows, in the order in which help shows them. */
export const OPTION_ROWS: readonly OptionRow[] = [
  ...layers,
  ...semantics,
  ...daemon,
  ...flags,
  ...kernelRows,
  ...peerRows,
  ...mountRows,
];

const byName = new Map(OPTION_ROWS.map(row => [row.name, row]));

/** The row of an option, or undefined for one that laminafs does not know. `x-*` and `X-*` belong to other programs. */
export function optionRow(name: string): OptionRow | undefined {
  const row = byName.get(name);
  return row ?? (/^[xX]-/.test(name) ? notes('is for other programs', name)[0] : undefined);
}

/** Names that a slip of the pen could have meant: those that change what the mount shows. */
export const MEANINGFUL = OPTION_ROWS.filter(row => row.kind !== 'note').map(row => row.name);
