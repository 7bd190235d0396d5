// Failure class 12: extended attributes, file capabilities and ACLs that are lost when a file is copied up, renamed or
// committed; privileges that survive a write.
import t from 'tap';
import { eachKind } from '../support/daemon-stage.js';

const layers = `cd l1; cp /bin/true tool; setcap cap_net_raw+ep tool; ln tool tool2; cp /bin/true suid; chmod 4755 suid; cp /bin/true sgid; chmod 2755 sgid
  echo x >acl; setfacl -m u:1234:rw acl; mkdir d; setfacl -d -m u:1234:rwx d; setfattr -n user.dir -v on-dir d
  echo x >x; setfattr -n user.small -v 1 x; setfattr -n user.long -v "$(head -c 2000 /dev/zero | tr '\\0' l)" x
  setfattr -n trusted.mine -v 2 x; setfattr -n security.other -v 3 x`;

void eachKind(t, 'file capabilities survive what should not drop them', { layers }, stage => {
  const { t } = stage;
  const cap = (file: string): string => stage.in(`getcap ${file} | sed 's/.* //'`).trim();
  stage.in('chmod 700 tool; touch tool; mv tool moved');
  t.equal(cap('moved'), 'cap_net_raw=ep', 'chmod, utimes and rename');
  t.equal(cap('tool2'), 'cap_net_raw=ep', 'the other link');
  stage.mount();
  t.equal(cap('moved'), 'cap_net_raw=ep', 'a remount');
  stage.in('echo >>moved');
  t.equal(cap('moved'), '', 'a write drops them');
});

void eachKind(t, 'chown and writes drop setuid and setgid', { layers }, stage => {
  const { t } = stage;
  stage.in('chmod 4777 suid; chmod 2777 sgid; chown 1:1 tool');
  t.equal(stage.in('getcap tool'), '', 'chown drops capabilities');
  stage.in("setpriv --reuid 65534 --regid 65534 --clear-groups sh -c 'echo >>suid; echo >>sgid'");
  t.equal(stage.in('stat -c %a suid sgid'), '777\n777\n', "an ordinary user's write drops both bits");
});

void eachKind(t, 'extended attributes of every size and name space are copied up', { layers }, stage => {
  const { t } = stage;
  const all = (): string => stage.in('getfattr -d -m "^(user|trusted|security)" x d | grep -v "^#" | sort');
  const before = all();
  t.match(
    before,
    /security\.other="3"\ntrusted\.mine="2"\nuser\.dir="on-dir"\nuser\.long="l{2000}"\nuser\.small="1"/,
  );
  stage.in('echo more >>x; chmod 700 d; touch d/new');
  t.equal(all(), before);
  t.equal(
    stage.python(`
print(attempt(os.setxattr, 'x', 'user.big', b'b' * 900), len(os.getxattr('x', 'user.long')))
print(attempt(os.setxattr, 'x', 'nonsense.name', b'1'), attempt(os.getxattr, 'x', 'user.none'), attempt(os.removexattr, 'x', 'user.none'))
print(attempt(os.setxattr, 'x', 'user.small', b'2', os.XATTR_CREATE), attempt(os.setxattr, 'x', 'user.none', b'2', os.XATTR_REPLACE))
os.removexattr('x', 'user.small'); print(sorted(os.listxattr('x')))`),
    `ok 2000\nENOTSUP ENODATA ENODATA\nEEXIST ENODATA\n['security.other', 'trusted.mine', 'user.big', 'user.long']`,
  );
  stage.mount();
  t.match(all(), /user\.big="b{900}"/);
});

void eachKind(
  t,
  'attributes as large as the layers can hold',
  {
    layers: 'cd l1; echo x >f; setfattr -n user.big -v "$(head -c 60000 /dev/zero | tr "\\0" b)" f',
    in: 'memory',
  },
  stage => {
    const { t } = stage;
    stage.in('echo >>f');
    t.equal(
      stage.python(
        `print(len(os.getxattr('f', 'user.big')), attempt(os.setxattr, 'f', 'user.too', b'b' * 70000))`,
      ),
      '60000 E2BIG',
    );
  },
);

void eachKind(t, 'ACLs are kept, inherited and enforced', { layers }, stage => {
  const { t } = stage;
  stage.in('echo >>acl; echo x >d/file; mkdir d/sub');
  t.match(stage.in('getfacl -pnc acl'), /user:1234:rw-/, 'kept over copy-up');
  t.match(
    stage.in('getfacl -pnc d/file'),
    /user:1234:rwx\s+#effective:rw-/,
    'a new file inherits the default',
  );
  t.match(stage.in('getfacl -pnc d/sub'), /default:user:1234:rwx/, 'so does a new directory');
  const as = (uid: number, script: string): string =>
    stage.in(`setpriv --reuid ${uid} --regid ${uid} --clear-groups sh -c '${script}' 2>&1 || true`);
  t.equal(as(1234, 'echo allowed >acl && cat acl'), 'allowed\n');
  t.match(as(1235, 'echo refused >acl'), /Permission denied/);
  stage.in('setfacl -m u:1235:rw,m::r acl');
  t.match(as(1235, 'cat acl && echo refused >acl'), /allowed\n[\s\S]*Permission denied/, 'the mask counts');
});
