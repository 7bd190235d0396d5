// Tars that mean harm or are damaged: nothing outside of the directory changes, and the error names the entry and the rule.
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { E, fromText, isErrno, SysError } from '../../src/base/index.js';
import { type ApplyOptions, applyLayerTar } from '../../src/oci/index.js';
import { TYPE } from '../../src/oci/tar-block.js';
import { scratch } from '../support/cleanup.js';
import { archive, directory, inPieces, link, member, pax, symlink } from './make-tar.js';
import { sh } from './stage.js';

/** Applies bytes to `out/in` of a fresh directory with a secret beside it; the error, and what there is then. */
async function attempt(
  test: Test,
  bytes: Buffer,
  options: ApplyOptions = {},
): Promise<{ error: SysError; tree: string; dir: string }> {
  const { dir } = scratch(test, 'oci-hostile');
  sh(dir, 'mkdir -p out/in; echo secret >out/secret; mkdir out/private; ln -s /etc out/etc');
  const before = sh(dir, 'find out -path out/in -prune -o -printf "%p %m %T@ %n\\n" | sort; cat out/secret');
  const error = await applyLayerTar([bytes], fromText(`${dir}/out/in`), options).then(
    () => test.fail('is refused'),
    (reason: unknown) => reason,
  );
  test.type(error, SysError);
  const after = sh(dir, 'find out -path out/in -prune -o -printf "%p %m %T@ %n\\n" | sort; cat out/secret');
  test.equal(after, before, 'nothing outside has changed');
  return {
    error: error as SysError,
    tree: sh(dir, 'find out/in -mindepth 1 -printf "%P %y\\n" | sort'),
    dir,
  };
}

const REFUSED = [
  {
    name: 'a name with ..',
    bytes: [member({ name: '../secret' }, 'x')],
    errno: E.EINVAL,
    says: "'../secret' leads out",
  },
  {
    name: '.. in the middle',
    bytes: [member({ name: 'a/../../secret' }, 'x')],
    errno: E.EINVAL,
    says: 'leads out',
  },
  { name: '.. at the end', bytes: [directory('a/..')], errno: E.EINVAL, says: 'leads out' },
  {
    name: 'a parent that is a symlink out',
    bytes: [symlink('a', '..'), member({ name: 'a/secret' }, 'x')],
    errno: E.ENOTDIR,
    says: "'a' is no directory and must not be followed",
  },
  {
    name: 'a parent that is a symlink inside',
    bytes: [directory('d'), symlink('a', 'd'), member({ name: 'a/f' }, 'x')],
    errno: E.ENOTDIR,
    says: "'a' is no directory",
  },
  {
    name: 'a whiteout below a symlink',
    bytes: [symlink('a', '..'), member({ name: 'a/.wh.secret' })],
    errno: E.ENOTDIR,
    says: "'a' is no directory",
  },
  {
    name: 'an opaque mark below a symlink',
    bytes: [symlink('a', '..'), member({ name: 'a/.wh..wh..opq' })],
    errno: E.ENOTDIR,
    says: "'a' is no directory",
  },
  { name: 'a hard link out by ..', bytes: [link('a', '../secret')], errno: E.EINVAL, says: 'leads out' },
  {
    name: 'a hard link to nothing',
    bytes: [link('a', '/etc/passwd')],
    errno: E.EINVAL,
    says: 'not in this layer',
  },
  {
    name: 'a hard link through a symlink',
    bytes: [symlink('s', '..'), link('a', 's/secret')],
    errno: E.EINVAL,
    says: "target 's/secret' is not in this layer",
  },
  {
    name: 'a hard link to a directory',
    bytes: [directory('d'), link('a', 'd')],
    errno: E.EINVAL,
    says: 'is a directory',
  },
  {
    name: 'a hard link to itself',
    bytes: [member({ name: 'a' }, 'x'), link('a', 'a')],
    errno: E.EINVAL,
    says: 'itself',
  },
  { name: 'a hard link to the root', bytes: [link('a', '.')], errno: E.EINVAL, says: 'is a directory' },
  {
    name: 'a file in place of the root',
    bytes: [member({ name: './', flag: TYPE.fifo })],
    errno: E.EINVAL,
    says: 'root',
  },
  {
    name: 'a whiteout of ..',
    bytes: [member({ name: '.wh...' })],
    errno: E.EINVAL,
    says: 'whiteout of no name',
  },
  {
    name: 'a whiteout of .',
    bytes: [member({ name: 'd/.wh..' })],
    errno: E.EINVAL,
    says: 'whiteout of no name',
  },
  {
    name: 'a whiteout of nothing',
    bytes: [member({ name: '.wh.' })],
    errno: E.EINVAL,
    says: 'whiteout of no name',
  },
  {
    name: 'a file below a whiteout',
    bytes: [member({ name: '.wh.a/b' })],
    errno: E.EINVAL,
    says: 'reserved name',
  },
  {
    name: 'an empty name',
    bytes: [pax({ path: '/' }), member({ name: 'x' }, 'x')],
    errno: E.EINVAL,
    says: 'root is a file',
  },
  {
    name: 'a NUL in a name',
    bytes: [pax({ path: 'a\0b' }), member({ name: 'x' })],
    errno: E.EBADMSG,
    says: 'NUL byte',
  },
  {
    name: 'a file as a parent',
    bytes: [member({ name: 'f' }), member({ name: 'f/g' })],
    errno: E.ENOTDIR,
    says: "'f' is no",
  },
  {
    name: 'a component that is too long',
    bytes: [pax({ path: 'n'.repeat(300) }), member({ name: 'x' })],
    errno: E.ENAMETOOLONG,
    says: 'nnn',
  },
  {
    name: 'a path that is too long',
    bytes: [pax({ path: 'a/'.repeat(100_000) }), member({ name: 'x' })],
    errno: E.EINVAL,
    says: 'longer than',
  },
  {
    name: 'a huge extended header',
    bytes: [member({ name: 'pax', flag: TYPE.pax, size: 1e9 })],
    errno: E.EBADMSG,
    says: 'extended header of 1000000000 bytes',
  },
  {
    name: 'a malformed pax record',
    bytes: [member({ name: 'pax', flag: TYPE.pax }, '99 path=x\n')],
    errno: E.EBADMSG,
    says: 'malformed pax',
  },
  {
    name: 'a pax record without end',
    bytes: [member({ name: 'pax', flag: TYPE.pax }, '9 path=xy')],
    errno: E.EBADMSG,
    says: 'malformed pax',
  },
  {
    name: 'a size that is no number',
    bytes: [pax({ size: '-1' }), member({ name: 'x' })],
    errno: E.EBADMSG,
    says: "size '-1'",
  },
  {
    name: 'a sparse member whose map says less than it has',
    bytes: [member({ name: 'x', flag: 'S' }, 'data')],
    errno: E.EBADMSG,
    says: 'stores 4 bytes, and its map has 0',
  },
  ...[
    ['no numbers', 'x\n', 'no list of numbers'],
    ['no end', '9'.repeat(2000), 'no list of numbers'],
    ['too many', `${2 ** 40}\n`, 'more than 1048576'],
    ['an overlap', '2\n5\n5\n7\n3\n', 'overlap or lie outside'],
    ['a stretch outside', '1\n96\n8\n', 'overlap or lie outside'],
  ].map(([what, map, says]) => ({
    name: `a pax sparse map with ${what}`,
    bytes: [
      pax({ 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '100' }),
      member({ name: 'x' }, Buffer.concat([Buffer.from(map!.padEnd(2048, '\0'))])),
    ],
    errno: E.EBADMSG,
    says: says!,
  })),
  {
    name: 'a pax sparse member of an old form',
    bytes: [pax({ 'GNU.sparse.major': '1' }), member({ name: 'x' })],
    errno: E.EOPNOTSUPP,
    says: 'sparse',
  },
  {
    name: 'an unknown type',
    bytes: [member({ name: 'x', flag: 'M' })],
    errno: E.EOPNOTSUPP,
    says: "type 'M'",
  },
];

for (const { name, bytes, errno, says } of REFUSED) {
  for (const whiteouts of ['keep', 'apply'] as const) {
    void t.test(`${name} is refused (${whiteouts})`, async t => {
      const { error } = await attempt(t, archive(...bytes), { whiteouts });
      t.equal(error.errno, errno, error.message);
      t.match(error.message, says);
    });
  }
}

void t.test('absolute names lie in the layer', async t => {
  const { dir } = scratch(t, 'oci-hostile');
  const result = await applyLayerTar([archive(member({ name: '//etc/./passwd' }, 'x'))], fromText(dir));
  t.equal(result.entries, 1);
  t.equal(sh(dir, 'cat etc/passwd; stat -c %a etc'), 'x755\n');
});

void t.test('duplicate entries: the last one counts, and its parents are what it says', async t => {
  const { dir } = scratch(t, 'oci-hostile');
  const bytes = archive(
    symlink('a', '/etc'),
    directory('a', 0o700),
    member({ name: 'a/f' }, '1'),
    member({ name: 'a/f' }, 'two'),
    directory('b'),
    directory('b/c', 0o711),
    member({ name: 'b' }, 'file'),
  );
  await applyLayerTar([bytes], fromText(dir), { whiteouts: 'apply' });
  t.equal(
    sh(dir, 'find . -mindepth 1 -printf "%P %y %m %s\\n" | sort | sed "s/ d \\(.*\\) .*/ d \\1/"'),
    'a d 700\na/f f 644 3\nb f 644 4\n',
  );
});

void t.test('a tar that is cut anywhere is an error, and no part of a file stays', async t => {
  const whole = archive(
    directory('d'),
    member({ name: 'd/one' }, 'x'.repeat(700)),
    pax({ path: 'd/two' }),
    member({ name: 't' }, 'y'),
  );
  for (const packed of [whole, gzipSync(whole)]) {
    for (
      let length = 0;
      length < packed.length - (packed === whole ? 1024 : 1);
      length += packed === whole ? 128 : 7
    ) {
      const { dir } = scratch(t, 'oci-hostile');
      const error = await applyLayerTar([packed.subarray(0, length)], fromText(dir)).then(
        () => null,
        (reason: unknown) => reason,
      );
      if (!(error instanceof SysError) || error.errno !== E.EBADMSG)
        t.fail(`cut at ${length}: ${String(error)}`);
      const sizes = sh(dir, 'find . -type f -printf "%P %s\\n" | sort');
      if (!['', 'd/one 700\n', 'd/one 700\nd/two 1\n'].includes(sizes)) t.fail(`cut at ${length}: ${sizes}`);
    }
  }
  const { error, tree } = await attempt(t, whole.subarray(0, 1200));
  t.match(
    error.message,
    /cut off inside 'd\/one', after 1200 bytes; .*\/out\/in holds a part of the layer \(1 entries\)/,
  );
  t.equal(tree, 'd d\n');
});

void t.test('a tar that comes byte by byte is whole', async t => {
  const { dir } = scratch(t, 'oci-hostile');
  const bytes = archive(directory('d'), member({ name: 'd/one' }, 'x'.repeat(700)));
  const result = await applyLayerTar(inPieces(bytes, 1), fromText(dir));
  t.same(result, { entries: 2, bytes: 700, size: 700, notes: [] });
});

void t.test('every flipped bit of a header is an error', async t => {
  const bytes = archive(member({ name: 'name' }, 'x'));
  for (let at = 0; at < 512; at += 3) {
    const flipped = Buffer.from(bytes);
    flipped[at] = flipped[at]! ^ 0x10;
    const { dir } = scratch(t, 'oci-hostile');
    const error = await applyLayerTar([flipped], fromText(dir)).then(
      () => null,
      (reason: unknown) => reason,
    );
    t.ok(isErrno(error, E.EBADMSG), `byte ${at}: ${String(error)}`);
  }
});

void t.test('other compressions are refused by name', async t => {
  const zstd = Buffer.of(0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0);
  const { error } = await attempt(t, zstd);
  t.equal(error.errno, E.EOPNOTSUPP);
  t.match(error.message, /compressed with zstd; unpack it first \(zstd -dc\); .* was not changed/);
});

void t.test('private notes in a tar do not become notes of the layer', async t => {
  const { dir } = scratch(t, 'oci-hostile');
  sh(dir, 'mkdir layer lower lower/a lower/etc; echo s >lower/etc/shadow; echo below >lower/a/below');
  const evil = {
    'SCHILY.xattr.trusted.overlay.redirect': '/etc',
    'SCHILY.xattr.trusted.overlay.opaque': 'y',
    'SCHILY.xattr.user.overlay.opaque': 'y',
    'SCHILY.xattr.user.containers.override_stat': '0:0:04755',
  };
  const result = await applyLayerTar([archive(pax(evil), directory('a'))], fromText(`${dir}/layer`));
  t.match(
    result.notes.join('\n'),
    /user\.overlay\.opaque was left out: it is a private note of a union mount/,
  );
  t.match(result.notes.join('\n'), /override_stat was left out/);
  sh(dir, 'mkdir view; mount -t overlay overlay -o lowerdir=layer:lower view');
  t.equal(
    sh(dir, 'ls view/a; getfattr -m - -d view/a | grep -v ^#'),
    'below\ntrusted.overlay.opaque="y"\ntrusted.overlay.redirect="/etc"\n\n',
  );
  sh(dir, 'umount view');
  const flat = await applyLayerTar([archive(pax(evil), directory('b'))], fromText(dir), {
    whiteouts: 'apply',
  });
  t.equal(flat.notes.length, 4);
  t.equal(sh(dir, 'getfattr -m - -d b'), '');
});

void t.test('without privilege devices and owners are left out, and a note says so', async t => {
  const { dir } = scratch(t, 'oci-hostile');
  const bytes = archive(
    member({ name: 'disk', flag: TYPE.block, major: 8, minor: 0 }),
    member({ name: 'suid', mode: 0o4755, uid: 7 }, 'x'),
    member({ name: '.wh.gone' }),
  );
  const result = await applyLayerTar([bytes], fromText(dir), { privileged: false });
  t.equal(sh(dir, 'stat -c "%n %F %u %a" *'), 'gone character special file 0 0\nsuid regular file 0 755\n');
  t.same(result.notes, [
    "'disk': is a device node, which can only be made with privilege",
    "'suid': belongs to you, since its owner can only be set with privilege",
    "'suid': setuid and setgid were left out, since the owner could not be set",
  ]);
});
