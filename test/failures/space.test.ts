// Failure classes 3, 4 and 26: inodes or blocks that run out, also in the middle of a copy-up, and errors that must reach
// the program that writes.
import t from 'tap';
import { eachKind, type StageOptions } from '../support/daemon-stage.js';
import { rubbish } from '../support/daemon-tree.js';

const small = (extra: string, fill: string): StageOptions => ({
  upperIn: 'small',
  layers: `truncate -s 16M image; mkfs.ext4 -q ${extra} image; mkdir small; mount -o loop image small; ${fill}`,
});
const big = 'head -c 12M /dev/urandom >l1/big; echo small >l1/small; mkdir l1/d; echo x >l1/d/x';

void eachKind(t, 'blocks run out in the middle of a copy-up', small('', big), stage => {
  const { t } = stage;
  const hash = stage.in('sha256sum big');
  stage.sh('head -c 6M /dev/zero >small/ballast');
  t.match(stage.in('(echo more >>big) 2>&1 || true'), /No space left on device/);
  t.match(stage.in('chmod 600 big 2>&1 || true'), /No space left on device/);
  t.equal(
    stage.in('sha256sum big; stat -c %a big'),
    `${hash}644\n`,
    'the lower file is still visible, whole',
  );
  t.equal(stage.sh('ls $U'), '', 'the upper has no part of it');
  t.strictSame(rubbish(stage.work), [], 'nor the work directory');
  t.equal(stage.in('echo fits >>small; rm d/x; cat small; ls d'), 'small\nfits\n', 'smaller changes go on');
  stage.sh('rm small/ballast');
  stage.in('echo more >>big');
  t.equal(
    stage.in('head -c 12M big | sha256sum | cut -c-64'),
    `${hash.slice(0, 64)}\n`,
    'and with space again it works',
  );
});

void eachKind(t, 'a full upper tells the program that writes', small('', 'echo old >l1/file'), stage => {
  const { t } = stage;
  const write = (how: string): string =>
    stage.in(`dd if=/dev/zero of=file bs=64k count=400 ${how} 2>&1 || true`);
  t.match(write('conv=fsync'), /No space left on device/);
  stage.in('rm file');
  t.match(write('conv=fdatasync'), /No space left on device/);
  t.equal(
    stage.python(`
f = open('map', 'w+b'); print(attempt(os.posix_fallocate, f.fileno(), 0, 64 << 20))`),
    'ENOSPC',
  );
  stage.in('rm map; : >file; sync; echo fits >file');
  t.equal(stage.in('cat file'), 'fits\n');
});

const fewInodes = small('-N 40', 'mkdir -p l1/a/b/c; for i in {1..20}; do echo $i >l1/a/b/c/$i; done');

void eachKind(t, 'inodes run out while bytes are free', fewInodes, stage => {
  const { t } = stage;
  stage.sh('i=0; while touch small/ballast$i 2>/dev/null; do i=$((i + 1)); done');
  for (const change of [
    'echo more >>a/b/c/1',
    'chmod 700 a/b/c',
    'rm a/b/c/2',
    'mv a/b x',
    'mkdir new',
    'mv a/b/c/3 a/b/c/y',
  ]) {
    t.match(stage.in(`(${change}) 2>&1 || true`), /No space left on device/, change);
  }
  t.equal(
    stage.in('cat a/b/c/* | sort -n | tail -n 1; ls a/b/c | wc -l; ls'),
    '20\n20\na\n',
    'all is as it was',
  );
  t.strictSame(rubbish(stage.work), []);
  stage.sh('rm small/ballast*');
  stage.in('echo more >>a/b/c/1; rm a/b/c/2');
  t.equal(stage.in('cat a/b/c/1; ls a/b/c | wc -l'), '1\nmore\n19\n');
});
