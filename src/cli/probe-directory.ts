// What a directory's file system can do for a layer or an upper, tried for real in a temporary directory inside it.
import { closeSync, mkdtempSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { type ByteString, errnoName, fromText, S } from '../base/index.js';
import {
  AT,
  clone,
  close,
  copyFileRange,
  fileHandle,
  linkat,
  listMounts,
  lseek,
  mknodat,
  O,
  openPath,
  RENAME,
  renameat2,
  SEEK,
  setxattr,
} from '../sys/index.js';
import type { Finding } from './finding.js';
import { pathBuffer } from './output.js';

/** A scratch directory and two files in it. */
interface Scratch {
  readonly fd: number;
  readonly full: number;
  readonly empty: number;
  /** The scratch directory's own path, for what needs one. */
  readonly path: ByteString;
}

interface DirectoryRow {
  readonly name: string;
  /** 0 or more when it works, else -errno. */
  try(scratch: Scratch): number;
  readonly yes: string;
  readonly no: string;
}

const ROWS: readonly DirectoryRow[] = [
  {
    name: 'reflinks',
    try: ({ empty, full }) => clone(empty, full),
    yes: 'a copy-up within this file system shares its blocks with the lower file',
    no: 'a copy-up copies the data',
  },
  {
    name: 'copy_file_range',
    try: ({ full, empty }) => copyFileRange(full, 0, empty, 0, 4096),
    yes: 'data is copied inside the kernel',
    no: 'data is copied through the daemon',
  },
  {
    name: 'holes',
    try: ({ full }) => lseek(full, 0, SEEK.HOLE),
    yes: 'sparse files stay sparse',
    no: 'holes become zeros in a copy-up',
  },
  {
    name: 'trusted xattrs',
    try: ({ fd }) => setxattr(fd, 'empty', 'trusted.lamina-doctor', Buffer.from('y')),
    yes: 'an upper here is kept as kernel overlayfs keeps it',
    no: 'bookkeeping goes to user.* attributes (as with userxattr)',
  },
  {
    name: 'user xattrs',
    try: ({ fd }) => setxattr(fd, 'empty', 'user.lamina-doctor', Buffer.from('y')),
    yes: 'an upper here works without privilege',
    no: 'without trusted attributes either, bookkeeping goes to files',
  },
  {
    name: 'device 0/0',
    try: ({ fd }) => mknodat(fd, 'whiteout', S.IFCHR, 0, 0),
    yes: 'a deletion is kept as kernel overlayfs keeps it',
    no: 'a deletion is kept as an attribute or a file',
  },
  {
    name: 'RENAME_WHITEOUT',
    try: ({ fd }) => renameat2(fd, 'one', fd, 'two', RENAME.WHITEOUT),
    yes: 'a rename leaves its whiteout in the same step',
    no: 'a rename needs two steps',
  },
  {
    name: 'RENAME_EXCHANGE',
    try: ({ fd }) => renameat2(fd, 'empty', fd, 'full', RENAME.EXCHANGE),
    yes: 'a directory replaces a whiteout in one step',
    no: 'a directory replaces a whiteout in two steps',
  },
  {
    name: 'O_TMPFILE',
    try: ({ fd, path }) => tmpfile(fd, path),
    yes: 'an unfinished copy-up has no name',
    no: 'an unfinished copy-up has a name in the work directory',
  },
  {
    name: 'file handles',
    try: ({ fd }) => tried(fileHandle(fd, 'full')),
    yes: 'index=on can be used here: hard links survive copy-up',
    no: 'hard links of a lower file part at copy-up (index=off)',
  },
];

function tried(result: object | number): number {
  return typeof result === 'number' ? result : 0;
}

function tmpfile(dirfd: number, path: ByteString): number {
  const fd = openPath(path, O.TMPFILE | O.WRONLY, 0o600);
  if (fd < 0) return fd;
  const rc = linkat(AT.FDCWD, `/proc/self/fd/${fd}`, dirfd, 'tmpfile', AT.SYMLINK_FOLLOW);
  close(fd);
  return rc;
}

/** What was found out about one directory. */
export interface DirectoryReport {
  readonly path: string;
  readonly type: string;
  readonly free: number;
  readonly findings: readonly Finding[];
}

/** Tries every row in `directory`, which must be writable. Leaves nothing there. */
export function probeDirectory(directory: string): DirectoryReport {
  const path = mkdtempSync(`${directory}/.lamina-doctor-`);
  const bytes = fromText(path);
  const open = (name: string) => openSync(`${path}/${name}`, 'w+');
  const [full, empty, one] = [open('full'), open('empty'), open('one')];
  const fd = openPath(bytes, O.RDONLY | O.DIRECTORY);
  try {
    writeSync(full, Buffer.alloc(4096, 1));
    const scratch: Scratch = { fd, full, empty, path: bytes };
    const findings = ROWS.map(row => finding(row, row.try(scratch)));
    const { bavail, bsize } = statfsSync(pathBuffer(bytes));
    return { path: directory, type: typeOf(bytes), free: bavail * bsize, findings };
  } finally {
    for (const file of [full, empty, one]) closeSync(file);
    close(fd);
    rmSync(path, { recursive: true });
  }
}

function finding(row: DirectoryRow, rc: number): Finding {
  const works = rc >= 0;
  const why = works ? '' : ` (${errnoName(-rc)})`;
  return {
    name: row.name,
    value: works,
    shown: works ? 'yes' : 'no',
    meaning: (works ? row.yes : row.no) + why,
  };
}

/** The type of the file system that holds the absolute `path`: that of the longest mount point above it. */
function typeOf(path: ByteString): string {
  const above = listMounts().filter(({ mountpoint }) =>
    `${path}/`.startsWith(mountpoint === '/' ? '/' : `${mountpoint}/`),
  );
  const longest = Math.max(...above.map(mount => mount.mountpoint.length));
  return above.findLast(mount => mount.mountpoint.length === longest)?.type ?? 'unknown';
}
