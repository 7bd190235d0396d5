// An id-mapped mount of a directory, as containers-storage makes one of every lower layer of a container with --uidmap:
// mount_setattr(2) with the user namespace of a process whose maps are those wanted. util-linux 2.38 has no command for it.
import { run } from './daemon.js';

const MAKE = `
import ctypes, os, subprocess, sys
source, target, inner, outer, length = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
OPEN_TREE, MOVE_MOUNT, MOUNT_SETATTR = 428, 429, 442
AT_EMPTY_PATH, OPEN_TREE_CLONE, MOVE_MOUNT_F_EMPTY_PATH, MOUNT_ATTR_IDMAP = 0x1000, 1, 4, 0x100000
def call(*args):
    rc = libc.syscall(*args)
    if rc < 0: raise OSError(ctypes.get_errno(), 'system call %d' % args[0])
    return rc
holder = subprocess.Popen(['unshare', '-U', 'sh', '-c', 'echo; read end'], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
holder.stdout.readline()
for kind in 'uid', 'gid':
    with open('/proc/%d/%s_map' % (holder.pid, kind), 'w') as out: out.write('%s %s %s' % (inner, outer, length))
userns = os.open('/proc/%d/ns/user' % holder.pid, os.O_RDONLY)
tree = call(OPEN_TREE, -100, source.encode(), OPEN_TREE_CLONE)
attributes = (ctypes.c_uint64 * 4)(MOUNT_ATTR_IDMAP, 0, 0, userns)
call(MOUNT_SETATTR, tree, b'', AT_EMPTY_PATH, attributes, ctypes.c_size_t(32))
call(MOVE_MOUNT, tree, b'', -100, target.encode(), MOVE_MOUNT_F_EMPTY_PATH)
holder.stdin.close()
holder.wait()
`;

/** Mounts `source` on `target`, showing the id `inner` and the `length - 1` that follow it as `outer` and those that follow. */
export function mountIdMapped(
  source: string,
  target: string,
  [inner, outer, length]: readonly [number, number, number],
): void {
  const result = run(['python3', '-c', MAKE, source, target, ...[inner, outer, length].map(String)]);
  if (result.status !== 0) throw new Error(result.stderr);
}
