// Options that change nothing here, with the reason, and options that are refused, with the reason: what kernel
// overlayfs, libfuse, fuse-overlayfs, mount(8) and container engines pass beyond the options that act.
import { notes, type OptionRow, partly, refused } from './optionrow.js';

const verityOn = refused(
  'fs-verity digests of lower files are not checked here, so asking for the check is refused',
  'verity',
);
const exportOn = refused('a FUSE mount of laminafs cannot be exported over NFS', 'nfs_export');
const uuidOn = notes('statfs of a FUSE mount has no id of its own', 'uuid');

/** Options of kernel overlayfs. */
export const kernelRows: OptionRow[] = [
  partly('verity', ['off'], verityOn[0]!, ['on', 'require']),
  partly('nfs_export', ['off'], exportOn[0]!, ['on']),
  partly('uuid', ['off', 'auto', 'null'], uuidOn[0]!, ['on']),
  ...notes('layers are always accessed as the user who mounts', 'override_creds'),
  ...refused('layers are always accessed as the user who mounts', 'nooverride_creds'),
  ...refused('data-only layers are not supported', 'datadir', 'datadir+'),
  ...refused('the layers and options of a live mount cannot be changed', 'remount'),
];

/** Options of libfuse and fuse-overlayfs. */
export const peerRows: OptionRow[] = [
  ...refused('plugins as data sources are not supported', 'plugins'),
  ...notes(
    "one thread serves a mount, and nobody waits for another's data",
    'threaded',
    'clone_fd',
    'max_idle_threads',
    'max_threads',
  ),
  ...notes('written data is never held back in the FUSE cache', 'writeback', 'writeback_cache'),
  ...notes(
    'inode numbers are stable and cheap in any case',
    'fast_ino',
    'fast_ino_check',
    'use_ino',
    'readdir_ino',
    'noforget',
    'remember',
  ),
  ...notes('inode numbers are always 64 bits wide', 'ino32_t'),
  ...notes('the kernel knows allow_other only; root enters its own mounts in any case', 'allow_root'),
  ...notes(
    'sizes and queues are negotiated with the kernel',
    'max_read',
    'max_write',
    'max_readahead',
    'max_background',
    'congestion_threshold',
    'blksize',
  ),
  ...notes(
    'decided for each open file',
    'kernel_cache',
    'auto_cache',
    'noauto_cache',
    'direct_io',
    'big_writes',
    'async_read',
    'sync_read',
    'async_dio',
  ),
  ...notes(
    'data is moved by passthrough, not by splice',
    'splice_read',
    'splice_write',
    'splice_move',
    'no_splice_read',
    'no_splice_write',
    'no_splice_move',
  ),
  ...notes('the daemon unmounts when it is told to end', 'auto_unmount'),
  ...notes('a mount point need not be empty', 'nonempty'),
  ...notes('unlinked open files are kept without renaming them', 'hard_remove'),
  ...notes('requests are short, and the kernel waits for them', 'intr', 'intr_signal', 'ac_attr_timeout'),
  ...refused(
    'ids and modes come from the layers; see squash_to_uid, squash_to_gid and uidmapping',
    'uid',
    'gid',
    'umask',
  ),
  ...refused(
    'libfuse modules would change what the mount shows',
    'modules',
    'subdir',
    'rellinks',
    'from_code',
    'to_code',
  ),
  ...refused('the layers are directories, not a block device', 'blkdev'),
];

/** Options that mount(8) handles itself, or that have no meaning for a union. */
export const mountRows: OptionRow[] = [
  ...notes(
    'is for mount(8)',
    'defaults',
    'auto',
    'noauto',
    'user',
    'nouser',
    'users',
    'owner',
    'noowner',
    'group',
    'nogroup',
  ),
  ...notes(
    'is for mount(8)',
    '_netdev',
    'nofail',
    'fail',
    'comment',
    'silent',
    'loud',
    'drop_privileges',
    'setuid',
  ),
  ...notes(
    'access times are those of the layers',
    'relatime',
    'norelatime',
    'strictatime',
    'nostrictatime',
    'lazytime',
    'nolazytime',
  ),
  ...notes(
    'has no meaning here',
    'inode32',
    'inode64',
    'mand',
    'nomand',
    'iversion',
    'noiversion',
    'symlinks',
    'seclabel',
  ),
];
