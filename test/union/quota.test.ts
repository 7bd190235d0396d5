// The limits `size` and `inodes` of a mount: what fits, what does not, and what users see of it. A real ext4 file system that
// is as small says what a full disk looks like.
import t, { type Test } from 'tap';
import { lamina, laminafs, optionString, overlayfs } from '../support/daemon.js';
import { type Stage, setStage } from '../support/daemon-stage.js';
import { du } from '../support/usage.js';

const MIB = 1 << 20;
const image = (size: string) =>
  `truncate -s ${size} image; mkfs.ext4 -q -m 0 -N 2000 image; mkdir fs; mount -o loop image fs`;

/** A mounted stage on an ext4 file system of 64 MiB, with these limits. */
function limited(t: Test, options: readonly string[], layers = ':'): Stage {
  const stage = setStage(t, laminafs, {
    layers: `${image('64M')}; ${layers}`,
    upperIn: 'fs',
    lamina: options,
  });
  stage.mount();
  return stage;
}

/** The upper holds no more than `bytes`. */
function within(stage: Stage, bytes: number): void {
  stage.sh('sync -f $U');
  stage.t.ok(du(stage.upper).bytes <= bytes, `${du(stage.upper).bytes} of ${bytes} bytes`);
}

const FILL = `
def fill(name, size, step=300000, flags=0):
    # A directory that would have to grow for the name says so first.
    try: fd = os.open(name, os.O_CREAT | os.O_WRONLY | flags, 0o644); done = 0
    except OSError as e: return f'0 {errno.errorcode[e.errno]}'
    try:
        while done < size: done += os.write(fd, b'x' * min(step, size - done))
        os.fsync(fd)
    except OSError as e: return f'{done} {errno.errorcode[e.errno]}'
    finally: os.close(fd)
    return f'{done} ok'
`;

t.test('writes fill the limit to the block, and df shows it', async t => {
  const stage = limited(t, ['size=8M']);
  const df = () => stage.in('stat -f -c "%b %f %a %S" .').trim().split(' ').map(Number);
  const [blocks, free, , unit] = df();
  t.equal(blocks! * unit!, 8 * MIB);
  t.equal(free! * unit!, 8 * MIB - du(stage.upper).bytes);
  const room = free! * unit!;
  t.equal(stage.python(`${FILL}\nprint(fill('f', 100 << 20))`), `${room} ENOSPC`);
  t.equal(stage.in('stat -c %s f').trim(), String(room), 'the last write was short');
  within(stage, 8 * MIB);
  t.same(df().slice(1, 3), [0, 0]);
  t.equal(
    stage.python("print(attempt(os.pwrite, os.open('f', os.O_WRONLY), b'again', 0))"),
    'ok',
    'over data',
  );
  t.match(stage.in('(echo more >>f) 2>&1 || true'), /No space left/);
  t.match(stage.in('mkdir d 2>&1 || true'), /No space left/, 'a directory takes a block');
  stage.in('touch empty; ln -s short link; ln f f2; rm f');
  t.equal(df()[1], 0, 'f2 holds the data');
  stage.in('rm f2');
  t.equal(df()[1], (8 * MIB - du(stage.upper).bytes) / unit!, 'at once');
  t.ok(df()[1]! > room / unit! - 4);
  stage.in('exec 3>held; head -c 3M /dev/zero >&3; rm held; stat -f -c %f . >before; exec 3>&-');
  t.ok(Number(stage.in('cat before')) <= room / unit! - 768, 'held while it is open');
  within(stage, 8 * MIB);
});

// The same on a file system that has just that much.
const LIKE_A_DISK = `${FILL}
def full(name):
    result = fill(name, 100 << 20).split()[1]; misses = i = 0
    # What a disk keeps back while much is under way shows when little is.
    while misses < 5:
        misses += fill(f'{name}{i}', 512).endswith('ENOSPC'); i += 1
    return result
open('s', 'w').truncate(1 << 34)
print(full('f'))
print(attempt(os.truncate, 's', 1 << 35))
print(attempt(os.pwrite, os.open('s', os.O_WRONLY), b'x' * 5000, 1 << 30))
print(attempt(lambda: os.posix_fallocate(os.open('s', os.O_WRONLY), 0, 1 << 20)))
os.unlink('f')
print(fill('g', 1 << 20))
fd = os.open('p', os.O_CREAT | os.O_RDWR); os.posix_fallocate(fd, 0, 1 << 20)
print(full('h'))
print(attempt(os.pwrite, fd, b'y' * (1 << 20), 0), 'preallocated')
print(attempt(os.pwrite, fd, b'y' * 100, 1 << 20), 'beyond')
os.unlink('h'); os.unlink('p'); os.close(fd)
print(fill('i', 2 << 20, 7777))
`;

t.test('a full limit behaves as a full disk', async t => {
  const stage = limited(t, ['size=8M']);
  const found = stage.python(LIKE_A_DISK);
  within(stage, 8 * MIB);
  const real = setStage(t, overlayfs, { layers: image('16M'), upperIn: 'fs' });
  real.mount();
  t.equal(found, real.python(LIKE_A_DISK), 'as kernel overlayfs on a small ext4');
});

t.test('mapped pages that do not fit fail when they are written back', async t => {
  const stage = limited(t, ['size=4M']);
  const found = stage.python(`
fd = os.open('m', os.O_CREAT | os.O_RDWR); os.ftruncate(fd, 16 << 20)
m = mmap.mmap(fd, 16 << 20)
for at in range(0, 16 << 20, 4096): m[at] = 1
print(attempt(m.flush), attempt(os.fsync, fd) in ('ok', 'ENOSPC'))
m.close(); os.close(fd)`);
  t.match(found, /^(ENOSPC|EIO) True$/);
  within(stage, 4 * MIB);
  stage.in('rm m; head -c 3M /dev/zero >n; sync n');
});

t.test('a copy-up that does not fit changes nothing', async t => {
  const stage = limited(
    t,
    ['size=4M'],
    'head -c 6M /dev/urandom >l1/big; mkdir l1/d; echo x >l1/d/x; echo y >l1/d/y',
  );
  const before = stage.in('sha256sum big');
  t.match(stage.in('(echo more >>big) 2>&1 || true'), /No space left/);
  t.match(stage.in('chmod 600 big 2>&1 || true'), /No space left/);
  t.equal(stage.in('sha256sum big; stat -c %a big'), `${before}644\n`);
  t.equal(stage.sh('ls $U; ls -A $W/work'), '');
  stage.in(': >big; echo z >>d/x');
  t.equal(stage.in('cat d/x'), 'x\nz\n');
  stage.in('head -c 8M /dev/zero >fill 2>/dev/null || true');
  stage.in('rm d/y big; rm -r d');
  t.equal(stage.in('ls'), 'fill\n', 'deleting works when nothing is left');
  stage.in('rm fill; echo new >fits');
  within(stage, 4 * MIB);
});

t.test('inodes are limited', async t => {
  const stage = limited(t, ['inodes=5'], 'touch l1/a l1/b');
  stage.in('touch 1 2 3');
  t.equal(stage.in('stat -f -c "%c %d" .'), '5 1\n');
  stage.in('echo x >>a');
  for (const change of ['touch 4', 'mkdir d', 'ln -s x y', 'echo x >>b', 'mknod p p'])
    t.match(stage.in(`(${change}) 2>&1 || true`), /No space left/, change);
  stage.in('ln 1 one; rm b');
  t.equal(stage.in('stat -f -c "%d" .'), '0\n', 'a whiteout is given in any case');
  stage.in('rm 1 one 2; touch 4');
  t.match(stage.in('touch 5 2>&1 || true'), /No space left/);
  t.equal(du(stage.upper).inodes, 5);
});

t.test('another size at the next mount', async t => {
  const stage = limited(t, ['size=4M']);
  stage.in('head -c 3M /dev/zero >f');
  stage.mount({ options: ['size=1M'] });
  t.equal(stage.in('stat -f -c "%a" .'), '0\n');
  t.match(stage.in('(echo more >>f; echo x >g) 2>&1 || true'), /No space left/);
  stage.in('truncate -s 100K f; echo fits >g');
  stage.mount({ options: ['size=10M'] });
  stage.in('head -c 8M /dev/zero >h');
  t.match(stage.in('head -c 4M /dev/zero 2>&1 >i || true'), /No space left/);
  within(stage, 10 * MIB);
});

t.test('many writers at once stay within the limit', async t => {
  const stage = limited(t, ['size=6M']);
  stage.in(
    'for i in {1..8}; do (head -c 2M /dev/zero | dd bs=1M of=f$i oflag=append conv=notrunc 2>/dev/null || true) & done; wait',
  );
  within(stage, 6 * MIB);
  t.ok(du(stage.upper).bytes > 5.9 * MIB, 'and use it');
});

t.test('what makes no sense is refused', async t => {
  for (const [options, message] of [
    [['size=0'], /size: must be/],
    [['size=1X'], /size: must be/],
    [['inodes=0'], /inodes: must be/],
    [['size=1G', 'passthrough=on'], /exclude each other/],
  ] as const) {
    const view = { lowers: ['/usr'], upper: '/nowhere/u', work: '/nowhere/w', mountpoint: '/mnt', options };
    const refused = lamina(['mount', '-o', optionString(view), '/mnt']);
    t.equal(refused.status, 1);
    t.match(refused.stderr, message);
  }
});
