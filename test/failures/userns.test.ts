// Failure classes 13 and 20: user namespaces, where trusted attributes do not exist; every spelling of a whiteout in any
// layer; ids that are mapped and ids that are not.
import t from 'tap';
import { mountsBelow } from '../support/cleanup.js';
import { lamina, laminafs, MAIN, run } from '../support/daemon.js';
import { checkAfter, eachKind, setStage } from '../support/daemon-stage.js';
import { fingerprint } from '../support/daemon-tree.js';
import { mountIdMapped } from '../support/idmapped.js';

const LAYERS = 'mkdir -p l1/d/e; echo 1 >l1/d/f; echo 2 >l1/d/e/g; echo 3 >l1/h; chown -R 0:0 l1';

// In a user namespace: mount, change, look, unmount, mount again and look. The daemon lives in it with the mount.
const IN_NAMESPACE = `
  lamina() { "$NODE" "$MAIN" "$@"; }
  mount_it() { lamina mount -o lowerdir=$L,upperdir=$U,workdir=$W "$M"; cd "$M"; }
  mount_it; echo more >>h; rm d/f; rm -r d/e; mkdir d/e; echo n >d/e/n; mv d moved; echo f >f2; rm f2; ls -A . moved moved/e; cd /; umount "$M"
  mount_it; echo again; cat h; ls -A . moved moved/e; rm -r moved; cd /; umount "$M"
  mount_it; echo last; ls -A; cd /; umount "$M"`;

void t.test('in a user namespace deletions survive a remount', async t => {
  const stage = setStage(t, laminafs, { layers: LAYERS });
  const before = fingerprint(...stage.lowers);
  const env = {
    NODE: process.execPath,
    MAIN,
    L: stage.lowers[0]!,
    U: stage.upper,
    W: stage.work,
    M: stage.mnt,
  };
  const script = ['unshare', '-Urm', 'bash', '-euc', IN_NAMESPACE];
  const played = run(script, { cwd: '/', env: { ...env, S: stage.scratch.dir } });
  t.equal(played.status, 0, played.stderr);
  const listing = '.:\nh\nmoved\n\nmoved:\ne\n\nmoved/e:\nn\n';
  t.equal(played.stdout, `${listing}again\n3\nmore\n${listing}last\nh\n`);
  t.equal(fingerprint(...stage.lowers), before, 'the lower layer is what it was');
  stage.mount();
  t.equal(stage.in('ls -A; cat h'), 'h\n3\nmore\n', 'root outside reads the same upper');
});

const SPELLINGS = `for l in l1 l2 l3; do mkdir $l/d $l/o $l/x; for f in dev wh xattr stay; do echo $l >$l/d/$f; done; echo $l >$l/o/$l; done
  rm l2/d/dev l2/d/wh l2/d/xattr l1/d/*; mknod l2/d/dev c 0 0; : >l2/d/.wh.wh; : >l2/d/xattr
  setfattr -n trusted.overlay.opaque -v x l2/d; setfattr -n trusted.overlay.whiteout -v y l2/d/xattr
  : >l2/o/.wh..wh..opq; : >l2/.wh.x; : >l2/d/.wh.never-there; rmdir l1/x l2/x`;

void t.test('every spelling of a whiteout, in a middle layer', async t => {
  const stage = setStage(t, laminafs, { layers: SPELLINGS, count: 3 });
  const before = fingerprint(...stage.lowers);
  stage.mount();
  t.equal(stage.in('ls -A d o; [ ! -e x ]; cat d/stay'), 'd:\nstay\n\no:\nl1\nl2\nl2\n');
  stage.in('echo new >d/dev; mkdir d/wh x; touch d/xattr o/l3; rm d/stay');
  t.equal(stage.in('ls -A d o x'), 'd:\ndev\nwh\nxattr\n\no:\nl1\nl2\nl3\n\nx:\n');
  stage.mount();
  t.equal(stage.in('ls -A d o x'), 'd:\ndev\nwh\nxattr\n\no:\nl1\nl2\nl3\n\nx:\n', 'after a remount');
  checkAfter(stage, before, false);
});

void eachKind(
  t,
  'parallel removal and creation over whiteouts',
  { layers: 'for d in {1..8}; do mkdir l1/$d; touch l1/$d/{1..40}; done' },
  stage => {
    const { t } = stage;
    const worker =
      'cd $d; for r in 1 2 3; do rm -f {1..40}; touch {1..20}; done; c=$(ls | wc -l); echo $c >n; cd ..; rm -rf $d/{1..9}; mv $d done$d; mkdir $d';
    stage.in(`for d in {1..8}; do (${worker}) & done; wait`);
    t.equal(stage.in('cat done*/n | sort -u; find [1-8] -type f; ls done* | wc -l'), '20\n111\n');
  },
);

void t.test('a name that is a whiteout in some spelling cannot be made', async t => {
  const stage = setStage(t, laminafs, { layers: 'echo x >l1/foo' });
  stage.mount();
  for (const change of [
    'echo x >.wh.foo',
    'mkdir .wh..wh..opq',
    'mv foo .wh.x',
    'ln foo .wh.y',
    'ln -s foo .wh.z',
    'mkfifo .wh.p',
  ]) {
    t.match(stage.in(`(${change}) 2>&1 || true`), /Operation not permitted/, change);
  }
  t.equal(stage.in('ls -A; cat foo'), 'foo\nx\n', 'and nothing is hidden by trying');
});

const owned =
  'touch l1/root l1/user l1/far; chown 1005:1006 l1/user; chown 70000:70000 l1/far; chown 1000:1000 l1 l1/root';

void t.test('mapped and unmapped ids', async t => {
  const stage = setStage(t, laminafs, { layers: owned });
  const before = fingerprint(...stage.lowers);
  stage.sh('chown 1000:1000 $U $W');
  stage.mount({ options: ['uidmapping=1000:0:100', 'gidmapping=1000:0:100'] });
  t.equal(stage.in('stat -c "%n %u:%g" root user far'), 'root 0:0\nuser 5:6\nfar 65534:65534\n');
  stage.in('echo >>user; touch new; chown 7:8 new');
  t.match(
    stage.in('chown 500 new 2>&1 || true'),
    /Value too large|Invalid argument/,
    'an id without a place is refused',
  );
  t.equal(stage.in('stat -c "%n %u:%g" user new'), 'user 5:6\nnew 7:8\n');
  t.equal(
    stage.sh('stat -c "%u:%g" $U/user $U/new'),
    '1005:1006\n1007:1008\n',
    'on disk they are the mapped ones',
  );
  stage.umount();
  t.equal(fingerprint(...stage.lowers), before);
});

void t.test('who is in no range can create, and owns nothing', async t => {
  const stage = setStage(t, laminafs, { layers: 'mkdir l1/d; chown 1000:1000 l1/d' });
  stage.sh('chown 1000:1000 $U $W');
  stage.mount({ options: ['uidmapping=1000:5000:100', 'gidmapping=1000:5000:100'] });
  stage.in(
    'echo x >d/file; mkdir d/dir; ln -s x d/link; mkfifo d/pipe; ln d/file d/hard; mv d/file d/moved; rmdir d/dir',
  );
  t.equal(stage.in('stat -c %u:%g d/moved d/link d/pipe'), '65534:65534\n'.repeat(3), 'shown as nobody');
  t.equal(stage.sh('stat -c %u:%g $U/d/moved'), '65534:65534\n', 'and kept as nobody');
  stage.in('chown -h 5001:5002 d/link');
  t.equal(stage.sh('stat -c %u:%g $U/d/link'), '1001:1002\n', 'an engine gives it to whom it is for');
});

void t.test('layers whose mounts map ids already, and uidmapping', async t => {
  const stage = setStage(t, laminafs, {
    count: 2,
    layers: 'mkdir l1/d; echo 1 >l1/d/file; chown 5:6 l1/d/file; setfacl -m u:7:r l1/d/file; echo 2 >l2/two',
  });
  const before = fingerprint(...stage.lowers);
  const seen = 'd 1000:1000\nd/file 1005:1006\ntwo 1000:1000\n';
  // Ranges that overlap: id 1000 could be either side of the mapping.
  for (const lower of ['one mount for all', 'a mount for each', 'not mapped']) {
    const place = stage.scratch.mkdir('mapped');
    if (lower === 'one mount for all') mountIdMapped(stage.scratch.dir, place, [0, 1000, 65536]);
    for (const name of ['l1', 'l2']) {
      if (lower !== 'a mount for each') continue;
      mountIdMapped(stage.scratch.path(name), stage.scratch.mkdir('mapped', name), [0, 1000, 65536]);
    }
    const top = lower === 'not mapped' ? stage.scratch.dir : place;
    const lowers = ['l1', 'l2'].map(name => `${top}/${name}`);
    stage.mount({ lowers, options: ['uidmapping=:0:1000:65536', 'gidmapping=:0:1000:65536'] });
    t.equal(stage.in('stat -c "%n %u:%g" d d/file two'), seen, lower);
    t.match(
      stage.in('getfacl -n d/file 2>/dev/null'),
      /^user:1007:r--$/m,
      'lists of access are mapped once too',
    );
    stage.in('echo more >>d/file');
    t.equal(stage.in('stat -c "%n %u:%g" d d/file two'), seen, 'the same after copy-up');
    t.equal(stage.sh('stat -c %u:%g $U/d/file'), '5:6\n', 'which keeps the ids that the layer holds');
    t.match(stage.sh('getfacl -n $U/d/file 2>/dev/null'), /^user:7:r--$/m);
    stage.umount();
    for (const point of mountsBelow(place).reverse()) stage.sh(`umount ${point}`);
    stage.sh('rm -rf $U/* mapped');
  }
  mountIdMapped(stage.scratch.dir, stage.scratch.mkdir('mapped'), [0, 3000, 65536]);
  const other = ['l1', 'l2'].map(name => stage.scratch.path('mapped', name));
  stage.mount({ lowers: other, options: ['uidmapping=3000:9000:100', 'gidmapping=3000:9000:100'] });
  t.equal(stage.in('stat -c %u:%g d/file'), '9005:9006\n', 'a mount that maps otherwise counts as asked');
  stage.umount();
  t.equal(fingerprint(...stage.lowers), before, 'the lower layers are what they were');
});

void t.test('a layer that is mounted nowhere without a mapping', async t => {
  const stage = setStage(t, laminafs, {
    layers: 'mkdir mapped; mount -t tmpfs tmpfs l1; touch l1/file; chown 5:6 l1/file',
  });
  mountIdMapped(stage.lowers[0]!, stage.scratch.path('mapped'), [0, 1000, 65536]);
  stage.sh('umount $L');
  const options = `lowerdir=${stage.scratch.path('mapped')},uidmapping=1000:9000:100`;
  const mounted = lamina(['mount', '-o', options, stage.mnt]);
  t.match(mounted, { status: 0, stderr: /note: uidmapping: the mount of .*mapped maps ids already/ });
  t.equal(stage.sh('stat -c %u:%g $M/file'), '9005:1006\n');
});

void t.test('squashed ids', async t => {
  const stage = setStage(t, laminafs, { layers: owned });
  stage.mount({ options: ['squash_to_root'] });
  t.equal(
    stage.in('chown 9:9 user; stat -c %u:%g root user far'),
    '0:0\n0:0\n0:0\n',
    'all are root; chown is accepted',
  );
  stage.mount({ options: ['squash_to_uid=42', 'squash_to_gid=43'] });
  t.equal(stage.in('stat -c %u:%g root user far .'), '42:43\n42:43\n42:43\n42:43\n');
});
