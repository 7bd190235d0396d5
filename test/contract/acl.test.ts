// POSIX ACLs: seen, set, inherited, kept over copy-up, and in step with the mode.
import t from 'tap';
import { acl, dir, file } from '../support/lowers.js';
import { contract } from '../support/oracle-contract.js';
import { by, does, fails, gives, type Row } from '../support/oracle-row.js';
import { candidates } from '../support/oracle-subjects.js';

const ACCESS = 'system.posix_acl_access';
const DEFAULT = 'system.posix_acl_default';

/** rwx for the owner, rw- for uid 1000, r-x for the group, a mask of rwx, r-- for others. */
const forUser = acl([1, 7], [2, 6, 1000], [4, 5], [16, 7], [32, 4]);
/** What equals a mode of 0640. */
const plain640 = acl([1, 6], [4, 4], [32, 0]);

const rows = [
  {
    name: 'an ACL of a lower file is seen and is obeyed',
    lowers: [{ f: file('x', { xattrs: { [ACCESS]: forUser } }) }],
    steps: [
      gives(forUser, 'getxattr', 'f', ACCESS),
      gives('reg 774 0:0 1 1', 'lstat', 'f'),
      by(1000, 1001, does('append', 'f', '+')),
      by(1001, 1001, fails('EACCES', 'append', 'f', '+')),
    ],
  },
  {
    name: 'an ACL survives copy-up',
    lowers: [
      {
        f: file('x', { xattrs: { [ACCESS]: forUser } }),
        d: dir({ xattrs: { [DEFAULT]: forUser } }),
        'd/g': '',
      },
    ],
    steps: [
      does('append', 'f', '+'),
      does('unlink', 'd/g'),
      gives(forUser, 'getxattr', 'f', ACCESS),
      gives(forUser, 'getxattr', 'd', DEFAULT),
    ],
  },
  {
    name: 'an ACL sets the mode',
    lowers: [{ f: file('x', { mode: 0o600 }) }],
    steps: [does('setxattr', 'f', ACCESS, forUser), gives('reg 774 0:0 1 1', 'lstat', 'f')],
  },
  {
    name: 'an ACL that says what the mode says is only a mode',
    lowers: [{ f: file('x', { mode: 0o777 }) }],
    steps: [
      does('setxattr', 'f', ACCESS, plain640),
      gives('', 'listxattr', 'f'),
      gives('reg 640 0:0 1 1', 'lstat', 'f'),
    ],
  },
  {
    name: 'chmod changes the mask of an ACL',
    lowers: [{ f: file('x', { xattrs: { [ACCESS]: forUser } }) }],
    steps: [
      does('chmod', 'f', 0o640),
      gives(acl([1, 6], [2, 6, 1000], [4, 5], [16, 4], [32, 0]), 'getxattr', 'f', ACCESS),
      by(1000, 1001, fails('EACCES', 'append', 'f', '+')),
    ],
  },
  {
    name: 'a default ACL is inherited by files and directories',
    lowers: [{ d: dir({ xattrs: { [DEFAULT]: forUser } }) }],
    steps: [
      does('create', 'd/f', '', 0o666),
      does('mkdir', 'd/e', 0o777),
      gives(acl([1, 6], [2, 6, 1000], [4, 5], [16, 6], [32, 4]), 'getxattr', 'd/f', ACCESS),
      gives('reg 664 0:0 1 0', 'lstat', 'd/f'),
      gives(forUser, 'getxattr', 'd/e', DEFAULT),
      gives('dir 774 0:0', 'lstat', 'd/e'),
    ],
  },
  {
    name: 'a default ACL is inherited over a whiteout',
    lowers: [{ d: dir({ xattrs: { [DEFAULT]: forUser } }), 'd/f': '', 'd/e/g': '' }],
    steps: [
      does('unlink', 'd/f'),
      does('create', 'd/f', '', 0o600),
      does('rmtree', 'd/e'),
      does('mkdir', 'd/e', 0o700),
      gives('reg 600 0:0 1 0', 'lstat', 'd/f'),
      gives(forUser, 'getxattr', 'd/e', DEFAULT),
    ],
  },
  {
    name: 'the umask does not apply under a default ACL',
    lowers: [{ d: dir({ xattrs: { [DEFAULT]: forUser } }) }],
    steps: [by(0, 0, does('create', 'd/f', '', 0o666), 0o077), gives('reg 664 0:0 1 0', 'lstat', 'd/f')],
  },
  {
    name: 'a default ACL on a file',
    lowers: [{ f: '' }],
    steps: [fails('EACCES', 'setxattr', 'f', DEFAULT, forUser)],
  },
  {
    name: 'an ACL that makes no sense',
    lowers: [{ f: '' }],
    steps: [
      fails('EINVAL', 'setxattr', 'f', ACCESS, acl([1, 7])),
      fails('ENOTSUP', 'setxattr', 'f', ACCESS, 'nonsense!'),
    ],
  },
  {
    name: 'removing an ACL',
    lowers: [{ f: file('x', { xattrs: { [ACCESS]: forUser } }), g: '' }],
    steps: [
      does('removexattr', 'f', ACCESS),
      gives('', 'listxattr', 'f'),
      fails('ENODATA', 'removexattr', 'g', ACCESS),
    ],
    differs: {
      why: 'the FUSE client takes the removal of an ACL that is not there for a success',
      outcomes: ['ok', '', 'ok'],
    },
  },
  {
    name: 'only the owner sets an ACL',
    lowers: [{ f: file('', { uid: 1000, mode: 0o666 }) }],
    steps: [
      by(1001, 1001, fails('EPERM', 'setxattr', 'f', ACCESS, forUser)),
      by(1000, 1000, does('setxattr', 'f', ACCESS, forUser)),
    ],
  },
  {
    name: 'an ACL set by somebody outside the group takes the setgid bit',
    lowers: [{ f: file('', { uid: 1000, gid: 50, mode: 0o2755 }) }],
    steps: [
      by(1000, 1000, does('setxattr', 'f', ACCESS, forUser)),
      gives('reg 774 1000:50 1 0', 'lstat', 'f'),
    ],
  },
].map(row => ({ ...row, needs: ['acl', 'vfs', 'callers'] })) as readonly Row[];

contract(t, rows, candidates);
