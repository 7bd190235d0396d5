// A layer through diff, tar and apply shows what the overlay mount showed that made it: on a plain copy of the lowers,
// and as a lower layer of a new overlay mount.
import t from 'tap';
import { scratch } from '../support/cleanup.js';
import { applyTo, changeOverlay, openDescriptors, sh, tarTo, treeDifference } from './stage.js';

const LOWERS = `mkdir -p l1/dir/sub l1/gone/deep l1/again/x l1/moved/in/to l2/dir l2/only l2/times
  echo 1 >l1/dir/a; echo 2 >l1/dir/b; echo 3 >l1/gone/deep/f; echo 4 >l1/again/old; echo 5 >l1/moved/in/to/file
  echo 6 >l2/dir/a; echo 7 >l2/only/f; cp /bin/true l1/tool; setcap cap_net_raw+ep l1/tool; ln -s a l1/dir/link
  echo 8 >l1/hard1; ln l1/hard1 l1/hard2; echo same >l1/same; setfattr -n user.note -v hello l1/dir/b
  mkdir -m 1777 l1/sticky; setfacl -d -m u:1000:rwx l2/only; mkdir l2/whole; touch l2/whole/{1,2,3}
  head -c 300000 /dev/urandom >l2/big; touch -d '1969-12-31 23:59:58.5' l2/times/old; chown 70000:3000000 l2/times/old
  find l1 l2 -exec touch -h -d '2021-02-03 04:05:06.123456789' {} +`;

const CHANGES = `echo new >fresh; mkdir -p n/e/w; echo x >n/e/w/x; rm -r gone; rm -r again; mkdir again; echo n >again/new
  echo more >>dir/a; chmod 4755 tool; setcap cap_chown+ep tool; ln -s t sym; mkfifo pipe; mknod null c 1 3; mknod blk b 7 9
  rm dir/b; mkdir dir/b; echo d >dir/b/in; rm -r only; echo file >only; echo >"odd name,with:chars"
  truncate -s 3M sparse; echo end >>sparse; setfattr -n user.x -v y same; setfacl -m u:1000:r same
  setfattr -n trusted.mine -v z same; ln fresh hard3; echo changed >>big; chmod 700 sticky; rmdir times 2>/dev/null || rm -r whole
  mkdir whole; touch -d '1950-01-01 00:00:00.25' whole/4; ln dir/a dir/also; chown 5:6 n; chown -h 7:8 sym
  touch -d '2500-01-01' late; setfacl -d -m g:5:r n; chmod 2775 n/e; touch "$(printf 'bad\\377name')"
  mv moved/in/to/file moved/file; echo é >é; mkdir "$(printf '%0120d' 0)"; echo q >"$(printf '%0120d' 0)/$(printf '%0120d' 1)"`;

const CASES = [
  { name: 'default options', options: '', extra: '' },
  {
    name: 'redirects',
    options: 'redirect_dir=on',
    extra: 'mv dir renamed; mkdir dir; mv moved/in n/in; mv renamed/sub s',
  },
  { name: 'an index', options: 'index=on', extra: 'echo linked >>hard1; chmod 640 hard2' },
  {
    name: 'metadata-only copies',
    options: 'redirect_dir=on,metacopy=on',
    extra: 'chown 3:4 hard1; chmod 600 dir/link; chown 9 moved/file; mv moved/file moved/file2; mv dir d2',
  },
  { name: 'user xattrs', options: 'userxattr', extra: '' },
];

for (const { name, options, extra } of CASES) {
  void t.test(`an upper made with ${name}`, async t => {
    const { dir } = scratch(t, 'oci-roundtrip');
    sh(dir, LOWERS);
    changeOverlay(dir, ['l2', 'l1'], `${CHANGES}\n${extra}`, options);
    const lowers = [`${dir}/l2`, `${dir}/l1`];
    const before = openDescriptors();
    await tarTo(`${dir}/layer.tar`, `${dir}/upper`, lowers);

    changeOverlay(dir, ['l2', 'l1'], ':', options);
    sh(
      dir,
      'mkdir flat; tar -C l1 --xattrs --xattrs-include=* --acls -cf - . | tar -C flat --xattrs --xattrs-include=* --acls -xpf -',
    );
    await tarTo(`${dir}/l2.tar`, `${dir}/l2`, [`${dir}/l1`]);
    await applyTo(`${dir}/l2.tar`, `${dir}/flat`, { whiteouts: 'apply' });
    const flat = await applyTo(`${dir}/layer.tar`, `${dir}/flat`, { whiteouts: 'apply' });
    t.same(flat.notes, []);
    t.equal(treeDifference(dir, 'seen', 'flat'), '', 'carried out on a plain tree');

    const layer = await applyTo(`${dir}/layer.tar`, `${dir}/layer`);
    t.same(layer.notes, []);
    t.same(openDescriptors(), before, 'no descriptor is left open');
    sh(dir, 'mkdir view; mount -t overlay overlay -o lowerdir=layer:l2:l1 view');
    t.equal(treeDifference(dir, 'seen', 'view'), '', 'as a layer of a kernel overlay');
    sh(dir, 'umount view');
  });
}

void t.test('an upper whose lowers are not given', async t => {
  const { dir } = scratch(t, 'oci-roundtrip');
  sh(dir, LOWERS);
  changeOverlay(dir, ['l2', 'l1'], CHANGES);
  await tarTo(`${dir}/layer.tar`, `${dir}/upper`);
  await applyTo(`${dir}/layer.tar`, `${dir}/layer`);
  sh(dir, 'mkdir view; mount -t overlay overlay -o lowerdir=layer:l2:l1 view');
  t.equal(treeDifference(dir, 'seen', 'view'), '');
  sh(dir, 'umount view');
});

void t.test('the same upper gives the same tar', async t => {
  const { dir } = scratch(t, 'oci-roundtrip');
  sh(dir, LOWERS);
  await tarTo(`${dir}/1.tar`, `${dir}/l1`, []);
  sh(dir, 'cp -a l1 copy');
  await tarTo(`${dir}/2.tar`, `${dir}/copy`, []);
  sh(dir, 'cmp 1.tar 2.tar');
  t.match(sh(dir, 'tar -tf 1.tar'), /^\.\/\nagain\/\n/);
});
