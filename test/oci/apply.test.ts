// The rules by which a layer tar is applied (OCI image-spec, layer.md), onto a plain tree and as a layer of a union.
import t, { type Test } from 'tap';
import { fromText } from '../../src/base/index.js';
import { applyLayerTar } from '../../src/oci/index.js';
import { TYPE } from '../../src/oci/tar-block.js';
import { scratch } from '../support/cleanup.js';
import { archive, directory, link, member, pax } from './make-tar.js';
import { diffLines, sh } from './stage.js';

const file = (name: string, data = 'new') => member({ name }, data);

/** What is in a directory: path, type, link count of files, opaque mark. */
function listing(dir: string, where: string): string {
  return sh(
    dir,
    `cd ${where}; find . -mindepth 1 | LC_ALL=C sort | while read -r f; do
      o=$(getfattr -h --only-values -n trusted.overlay.opaque "$f" 2>/dev/null || true)
      echo "\${f#./} $(stat -c %F "$f" | sed 's/regular.*/file/; s/character.*/whiteout/') $o" | sed 's/ *$//'; done`,
  ).trim();
}

interface Row {
  name: string;
  /** Makes the tree in the directory it runs in. */
  before: string;
  tar: Buffer[];
  /** Expected on a plain tree. */
  flat: string[];
  /** Expected as a layer. */
  layer: string[];
}

const ROWS: Row[] = [
  {
    name: 'a whiteout of a file',
    before: 'touch f g',
    tar: [member({ name: '.wh.f' })],
    flat: ['g file'],
    layer: ['f whiteout', 'g file'],
  },
  {
    name: 'a whiteout of a directory with content',
    before: 'mkdir -p d/e; touch d/e/f',
    tar: [member({ name: '.wh.d' })],
    flat: [''],
    layer: ['d whiteout'],
  },
  {
    name: 'a whiteout of what is not here',
    before: ':',
    tar: [member({ name: 'x/.wh.d' })],
    flat: ['x directory'],
    layer: ['x directory', 'x/d whiteout'],
  },
  {
    name: 'a whiteout after an entry of the same layer means the layers below',
    before: 'mkdir d; touch d/old',
    tar: [directory('d'), file('d/new'), member({ name: '.wh.d' }), file('f'), member({ name: '.wh.f' })],
    flat: ['d directory', 'd/new file', 'f file'],
    layer: ['d directory y', 'd/new file', 'f file'],
  },
  {
    name: 'a whiteout in front of an entry of the same name',
    before: 'mkdir d; touch d/old f',
    tar: [member({ name: '.wh.d' }), member({ name: '.wh.f' }), directory('d'), file('d/new'), file('f')],
    flat: ['d directory', 'd/new file', 'f file'],
    layer: ['d directory y', 'd/new file', 'f file'],
  },
  {
    name: 'an opaque mark in front of the entries',
    before: 'mkdir -p d/sub; touch d/old d/sub/x',
    tar: [directory('d'), member({ name: 'd/.wh..wh..opq' }), file('d/new')],
    flat: ['d directory', 'd/new file'],
    layer: ['d directory y', 'd/new file'],
  },
  {
    name: 'an opaque mark after the entries',
    before: 'mkdir -p d/sub; touch d/old d/sub/x',
    tar: [directory('d'), file('d/sub/new'), member({ name: 'd/.wh..wh..opq' })],
    flat: ['d directory', 'd/sub directory', 'd/sub/new file'],
    layer: ['d directory y', 'd/sub directory', 'd/sub/new file'],
  },
  {
    name: 'a whiteout in an opaque directory says nothing more (the kernel would list it)',
    before: ':',
    tar: [directory('d'), member({ name: 'd/.wh..wh..opq' }), member({ name: 'd/.wh.f' })],
    flat: ['d directory'],
    layer: ['d directory y'],
  },
  {
    name: 'a device 0/0 is a whiteout',
    before: 'touch f',
    tar: [member({ name: 'f', flag: TYPE.char })],
    flat: [''],
    layer: ['f whiteout'],
  },
  {
    name: 'a directory onto a directory keeps its content',
    before: 'mkdir d; touch d/old',
    tar: [directory('d'), file('d/new')],
    flat: ['d directory', 'd/new file', 'd/old file'],
    layer: ['d directory', 'd/new file', 'd/old file'],
  },
  {
    name: 'a directory in place of a file',
    before: 'touch d',
    tar: [directory('d')],
    flat: ['d directory'],
    layer: ['d directory y'],
  },
  {
    name: 'a directory in place of a symlink',
    before: 'mkdir e; touch e/x; ln -s e d',
    tar: [directory('d'), file('d/f')],
    flat: ['d directory', 'd/f file', 'e directory', 'e/x file'],
    layer: ['d directory y', 'd/f file', 'e directory', 'e/x file'],
  },
  {
    name: 'a file in place of a directory',
    before: 'mkdir -p d/e/f',
    tar: [file('d')],
    flat: ['d file'],
    layer: ['d file'],
  },
  {
    name: 'what AUFS keeps for itself',
    before: ':',
    tar: [member({ name: '.wh..wh.plnk/12.34' }), directory('.wh..wh.plnk'), file('f')],
    flat: ['f file'],
    layer: ['f file'],
  },
];

for (const row of ROWS) {
  for (const whiteouts of ['apply', 'keep'] as const) {
    void t.test(`${row.name} (${whiteouts})`, async t => {
      const { dir } = scratch(t, 'oci-apply');
      sh(dir, `mkdir to; cd to; ${row.before}`);
      await applyLayerTar([archive(...row.tar)], fromText(`${dir}/to`), { whiteouts });
      t.equal(listing(dir, 'to'), (whiteouts === 'apply' ? row.flat : row.layer).join('\n'));
    });
  }
}

async function applied(t: Test, before: string, ...tar: Buffer[]): Promise<string> {
  const { dir } = scratch(t, 'oci-apply');
  sh(dir, before);
  const result = await applyLayerTar([archive(...tar)], fromText(dir), { whiteouts: 'apply' });
  t.same(result.notes, []);
  return dir;
}

void t.test('missing parents are made, 0755, and later entries say more of them', async t => {
  const dir = await applied(
    t,
    'umask 077',
    file('a/b/f'),
    member({ name: 'a', mode: 0o711, uid: 3, mtime: 5, flag: TYPE.directory }),
  );
  t.equal(sh(dir, 'stat -c "%n %a %u %Y" a'), 'a 711 3 5\n');
  t.equal(sh(dir, 'stat -c "%n %a %u" a/b a/b/f'), 'a/b 755 0\na/b/f 644 0\n');
});

void t.test('a directory has its time although things were made in it later', async t => {
  const dir = await applied(
    t,
    ':',
    pax({ mtime: '77.000000005' }),
    directory('d'),
    file('d/f'),
    directory('d/e'),
    file('f'),
  );
  t.equal(sh(dir, 'stat -c %.9Y d'), '77.000000005\n');
});

void t.test('a directory without permission for anybody is filled', async t => {
  const { dir } = scratch(t, 'oci-apply');
  const bytes = archive(directory('d', 0), directory('d/e', 0o500), file('d/e/f'));
  await applyLayerTar([bytes], fromText(dir), { privileged: false });
  t.equal(sh(dir, 'stat -c "%n %a" d d/e d/e/f'), 'd 0\nd/e 500\nd/e/f 644\n');
});

void t.test('replaced files lose their other names: the old inode does not change', async t => {
  const dir = await applied(t, 'echo old >f; ln f g; setfattr -n user.x -v 1 f', file('f'));
  t.equal(sh(dir, 'cat f g; stat -c %h f; getfattr -d f'), 'newold\n1\n');
});

void t.test('hard links: to an earlier entry, and into the tree below', async t => {
  const dir = await applied(
    t,
    'echo old >o',
    file('d/f'),
    link('d/g', 'd/f'),
    link('h', './d/f'),
    link('p', '/o'),
  );
  t.equal(sh(dir, 'stat -c "%n %h" d/f h p; cat d/g p'), 'd/f 3\nh 3\np 2\nnewold\n');
});

void t.test('setuid and capabilities are there in the end', async t => {
  const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex').toString('latin1');
  const dir = await applied(
    t,
    ':',
    pax({ 'SCHILY.xattr.security.capability': capability }),
    member({ name: 'ping', mode: 0o6755, uid: 5, gid: 6 }, 'x'),
  );
  t.equal(sh(dir, 'stat -c "%a %u %g" ping; getcap ping'), '6755 5 6\nping cap_net_raw=ep\n');
});

void t.test("a directory's attributes are replaced, its xattrs and ACLs too", async t => {
  const dir = await applied(
    t,
    'mkdir -m 700 d; setfattr -n user.old -v 1 d; setfattr -n user.both -v 1 d; setfacl -m u:5:rwx d; setfacl -d -m u:5:rwx d',
    pax({ 'SCHILY.xattr.user.both': '2' }),
    directory('d', 0o750),
  );
  t.equal(sh(dir, 'getfattr -d -m "^(user|system)" --absolute-names d'), '# file: d\nuser.both="2"\n\n');
  t.equal(sh(dir, 'stat -c %a d'), '750\n');
});

void t.test('a default ACL that is there already does not leak into new files', async t => {
  const dir = await applied(t, 'mkdir d; setfacl -d -m u:5:rwx d', file('d/f'), directory('d/e'));
  t.equal(sh(dir, 'getfattr -m system d/f d/e'), '');
  t.equal(sh(dir, 'stat -c %a d/f d/e'), '644\n755\n');
});

void t.test('ACLs as text are left out with a note', async t => {
  const { dir } = scratch(t, 'oci-apply');
  const bytes = archive(
    pax({ 'SCHILY.acl.access': 'user::rw-,user:5:rw-,group::r--,mask::rw-,other::r--' }),
    file('f'),
  );
  const result = await applyLayerTar([bytes], fromText(dir));
  t.same(result.notes, ["'f': its ACL is stored as text and was not applied"]);
});

for (const { what, make, whiteout, opaque } of [
  { what: 'without xattrs', make: 'mount -t ramfs ramfs mnt', whiteout: 'f', opaque: '.wh..wh..opq' },
  {
    what: 'without devices 0/0 (another overlay)',
    make: 'mkdir l u w; mount -t overlay overlay -o lowerdir=l,upperdir=u,workdir=w mnt',
    whiteout: '.wh.f',
    opaque: '',
  },
]) {
  void t.test(`a file system ${what} gets the spellings that it can hold`, async t => {
    const { dir } = scratch(t, 'oci-apply');
    sh(dir, `mkdir mnt; ${make}; mkdir mnt/to`);
    const bytes = archive(directory('d'), member({ name: 'd/.wh..wh..opq' }), member({ name: '.wh.f' }));
    await applyLayerTar([bytes], fromText(`${dir}/mnt/to`));
    t.equal(sh(dir, 'cd mnt/to; ls -A d').trim(), opaque);
    t.equal(sh(dir, 'cd mnt/to; ls -A | grep f').trim(), whiteout);
    t.same(await diffLines(`${dir}/mnt/to`), ['D f', 'A d'], 'and they are understood');
    sh(dir, 'umount mnt');
  });
}
