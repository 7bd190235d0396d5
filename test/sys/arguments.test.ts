// Every function of the addon refuses arguments of a wrong type with a TypeError, and leaks no descriptor whatever comes.
import t from 'tap';
import { E, ok, Stat } from '../../src/base/index.js';
import * as sys from '../../src/sys/index.js';
import { native } from '../../src/sys/index.js';
import { descriptors, opened, put, scratch, stat } from './scratch.js';

type Loose = (...args: unknown[]) => unknown;

// One letter per argument: n number, s string, b Buffer, f Float64Array, i Int32Array, o boolean, c callback, r ring.
const SIGNATURES: Readonly<Record<string, string>> = {
  openat2: 'nsnnn',
  close: 'n',
  dup: 'n',
  statx: 'nsnf',
  faccessat: 'nsnn',
  getdents: 'nb',
  readlinkat: 'nsb',
  mkdirat: 'nsn',
  mknodat: 'nsnnn',
  symlinkat: 'sns',
  linkat: 'nsnsn',
  unlinkat: 'nsn',
  renameat2: 'nsnsn',
  fchmodat: 'nsn',
  fchownat: 'nsnn',
  utimensat: 'nsnnnn',
  ftruncate: 'nn',
  lseek: 'nnn',
  fallocate: 'nnnn',
  fsync: 'no',
  flock: 'nn',
  fstatfs: 'nf',
  pread: 'nbnnn',
  preadNowait: 'nbnnn',
  pwrite: 'nbnnn',
  copyFileRange: 'nnnnn',
  clone: 'nn',
  copyCached: 'nnn',
  getxattrat: 'nssb',
  setxattrat: 'nssbn',
  listxattrat: 'nsb',
  removexattrat: 'nss',
  nameToHandleAt: 'nsbn',
  openByHandleAt: 'nbnn',
  fsUuid: 'nb',
  uniqueMountId: 'n',
  getFileFlags: 'n',
  setFileFlags: 'nn',
  getFsxattr: 'nb',
  setFsxattr: 'nb',
  umask: 'n',
  setfsids: 'nn',
  keepCapabilities: '',
  mount: 'sssns',
  umount: 'sn',
  umountAsync: 'sn',
  openTree: 'nsn',
  mountSetattr: 'nsnnn',
  socketpair: 'i',
  receiveFd: 'n',
  listenUnix: 'sn',
  connectUnix: 's',
  listenTcp: 'sn',
  socketPort: 'n',
  acceptSocket: 'n',
  receive: 'nbnnn',
  send: 'nbnn',
  sendDatagram: 'sb',
  socketPeer: 'ni',
  receiveWithFds: 'nbnni',
  fuseRead: 'nbinn',
  fuseWrite: 'nbini',
  fuseBackingOpen: 'nn',
  fuseBackingClose: 'nn',
  ringOpen: 'n',
  ringBell: 'r',
  ringAdd: 'rnnbn',
  ringReply: 'rbini',
  ringTake: 'rin',
  ringSubmit: 'r',
  ringClose: 'r',
  watchReadable: 'nc',
  fsyncAsync: 'no',
  fuseSyncAsync: 'nnonn',
  syncfsAsync: 'n',
  preadAsync: 'nbnnn',
  pwriteAsync: 'nbnnn',
  copyFileRangeAsync: 'nnnnn',
  fallocateAsync: 'nnnn',
  closeAsync: 'n',
  copyFileAsync: 'nnno',
  getdentsAsync: 'n',
};

const closedRing = native.ringOpen(1);
if (typeof closedRing === 'number') throw new Error(`ringOpen ${closedRing}`);
native.ringClose(closedRing);

// A descriptor that no call finds open, so that right arguments change nothing.
const RIGHT: Readonly<Record<string, unknown>> = {
  n: -1,
  s: '/nonexistent/x',
  b: Buffer.alloc(64),
  f: new Float64Array(26),
  i: new Int32Array(4),
  o: false,
  c: () => {},
  r: closedRing,
};

const VALUES: readonly unknown[] = [
  undefined,
  null,
  true,
  'text',
  Number.NaN,
  0.5,
  2 ** 60,
  1n,
  {},
  [1],
  new Uint16Array(4),
  new DataView(new ArrayBuffer(8)),
  Symbol('s'),
  -1,
  Buffer.alloc(64),
  new Float64Array(26),
  new Int32Array(4),
  () => {},
];

function fits(kind: string, value: unknown): boolean {
  if (kind === 'n') return value === -1;
  if (kind === 's') return typeof value === 'string';
  if (kind === 'b') return Buffer.isBuffer(value);
  if (kind === 'f') return value instanceof Float64Array;
  if (kind === 'i') return value instanceof Int32Array;
  if (kind === 'r') return value === closedRing;
  return kind === 'o' ? typeof value === 'boolean' : typeof value === 'function';
}

const table = native as unknown as Readonly<Record<string, Loose>>;

t.test('the table of signatures is complete', async t => {
  const functions = Object.keys(native).filter(name => typeof table[name] === 'function');
  t.strictSame(functions.sort(), Object.keys(SIGNATURES).sort());
});

t.test('wrong types throw', async t => {
  for (const [name, kinds] of Object.entries(SIGNATURES)) {
    const right = [...kinds].map(kind => RIGHT[kind]);
    let refused = 0;
    let wanted = 0;
    [...kinds].forEach((kind, index) => {
      for (const value of VALUES.filter(value => !fits(kind, value))) {
        wanted++;
        try {
          table[name]!(...right.with(index, value));
        } catch (error) {
          if (error instanceof TypeError && error.message.startsWith(`${name}: argument ${index + 1} `))
            refused++;
        }
      }
    });
    t.equal(refused, wanted, name);
    if (kinds !== '') t.throws(() => table[name]!(), { code: 'ERR_INVALID_ARG_TYPE' }, `${name} of nothing`);
  }
});

t.test('32 bits may come with or without a sign', async t => {
  const { fd } = scratch(t);
  opened(t, fd, 'file');
  t.equal(sys.fchownat(fd, 'file', 0xffff_fffe, -1), 0);
  t.equal(stat(fd, 'file').uid, 0xffff_fffe);
  t.equal(sys.fchownat(fd, 'file', -2, -1), 0);
  t.equal(stat(fd, 'file').uid, 0xffff_fffe);
  t.throws(() => sys.fchownat(fd, 'file', 2 ** 32, -1), { code: 'ERR_INVALID_ARG_TYPE' });
});

t.test('a thousand calls of every kind leave no descriptor', async t => {
  const { fd, path } = scratch(t);
  put(opened(t, fd, 'file'), 'text');
  sys.symlinkat('file', fd, 'link');
  const node = opened(t, fd, 'link', sys.O.PATH);
  const slots = new Stat().slots;
  const handle = sys.fileHandle(fd, 'file');
  if (typeof handle === 'number') throw new Error(`fileHandle ${handle}`);
  const before = descriptors();
  for (let i = 0; i < 1000; i++) {
    sys.close(ok(sys.openChild(fd, 'file', sys.O.RDONLY), 'openChild'));
    sys.close(ok(sys.openBeneath(fd, 'link', sys.O.RDONLY), 'openBeneath'));
    sys.close(ok(sys.openHandle(fd, handle, sys.O.RDONLY), 'openHandle'));
    sys.close(ok(sys.clonePrivate(sys.AT.FDCWD, path), 'clonePrivate'));
    sys.close(ok(sys.dup(fd), 'dup'));
    sys.openChild(fd, 'link', sys.O.RDONLY);
    sys.statx(node, '', sys.AT.EMPTY_PATH, slots);
    sys.getxattr(node, '', 'trusted.a');
    sys.listxattr(node, '');
    sys.setxattr(fd, 'link', 'trusted.a', Buffer.from('a'));
    sys.fchmodat(node, '', 0o600);
    sys.utimensat(node, '', 0, 0, 0, 0);
    sys.fsUuid(fd);
    sys.readDirents(fd, () => {});
  }
  t.equal(descriptors(), before);
  t.equal(sys.statx(fd, 'none', 0, slots), -E.ENOENT);
});
