// Wrong input of every command of pools, volumes and nbd: status 1, one sentence that names the thing and the rule, and
// nothing changed. The same while another process has the pool.
import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { needs } from '../support/needs.js';
import { PoolStage } from './pool-stage.js';

needs('mount');

type Row = readonly [words: string, error: RegExp];

const CREATE: readonly Row[] = [
  ['pool create --size 1G', /missing required argument 'directory'/],
  ['pool create new', /required option '--size <size>' not specified/],
  ['pool create new --size 1X', /--size: "1X" is not a size; it is written 4096 \(bytes\), 64K/],
  ['pool create new --size -1', /--size: "-1" is not a size/],
  ['pool create new --size 1.3', /--size: "1.3" is not a size/],
  ['pool create new --size 99999999999T', /--size: 99999999999T is more than 8191T/],
  ['pool create new --size 1K', /size must be at least one block of 65536 bytes, and is 1024/],
  ['pool create new --size 1G --block-size 0', /block size is a multiple of 64 KiB/],
  ['pool create new --size 1G --block-size 1', /block size is a multiple of 64 KiB/],
  ['pool create new --size 1G --block-size 100K', /block size is a multiple of 64 KiB.*not 102400/],
  ['pool create new --size 4G --block-size 2G', /block size is a multiple of 64 KiB from 64 KiB to 1 GiB/],
  ['pool create new --size 1G --on-full wait', /--on-full: must be one of queue, error, not "wait"/],
  ['pool create new --size 1G --discards no', /--discards: must be one of passdown, nopassdown, ignore/],
  [
    'pool create new --size 1G --grow-threshold 101',
    /--grow-threshold: "101" is not a whole number from 1 to 100/,
  ],
  ['pool create new --size 1G --grow-percent 0', /--grow-percent: "0" is not a whole number from 1/],
  ['pool create new --size 1G --no-space-timeout x', /--no-space-timeout: "x" is not a whole number/],
  [
    'pool create new --size 1G --metadata-limit 1M',
    /metadataLimit must be bytes, from 2097152, and is 1048576/,
  ],
  ['pool create new --size 1G --data dir', /dir/],
  ['pool create p --size 1G', /p already holds a pool/],
  ['pool create dir --size 1G', /dir is not empty: a pool wants a directory of its own/],
  ['pool create file --size 1G', /file/],
  ['pool create none/new --size 1G', /none\/new/],
  ['pool create new --size 1G --data p/data', /p\/data is the data of the pool in .*\/p/],
  ['pool create  --size 1G', /a path is wanted, and this is empty/],
];

const POOL: readonly Row[] = [
  ['pool status none', /none holds no pool: lamina pool create makes one/],
  ['pool status dir', /dir holds no pool/],
  ['pool status file', /file holds no pool/],
  ['pool status other', /other\/pool.db.*(not a database|EUCLEAN|check)/],
  ['pool grow p', /missing required argument 'size'/],
  ['pool grow p 1M', /has 1073741824 bytes and cannot shrink to 1048576/],
  ['pool grow p much', /the size: "much" is not a size/],
  ['pool set p', /nothing to set for p: name an option/],
  ['pool set p --low-water lots', /--low-water: "lots" is not a size/],
  ['pool set-transaction-id p 3 4', /the transaction id is 0, not 3/],
  ['pool set-transaction-id p 0 -4', /unknown option '-4'|new id/],
  ['pool set-transaction-id p 0 x', /the new id: "x" is not a whole number/],
  ['pool release-metadata-snapshot p', /has no metadata snapshot/],
  ['pool check none', /none holds no pool: lamina pool create makes one/],
  ['pool repair none', /none holds no pool: lamina pool create makes one/],
  ['pool dump none', /none holds no pool: lamina pool create makes one/],
  ['pool dump p --metadata-snapshot', /no metadata snapshot/],
  ['pool dump p --format json', /--format: must be one of xml, human_readable, not "json"/],
  ['pool dump p --dev-id 77', /77/],
  ['pool dump p --dev-id x', /--dev-id: "x" is not a whole number from 0 to 16777215/],
  ['pool dump p -o none/x', /none\/x/],
  ['pool restore p -i xml', /p/],
  ['pool restore new -i file', /line 1/],
  ['pool restore new -i none', /none/],
  ['pool rmap p', /required option '--region <range>' not specified/],
  ['pool rmap p --region 5', /5/],
  ['pool rmap none --region 5..6', /none holds no pool/],
  ['pool ls none', /none holds no pool/],
  ['pool ls p -o SHOESIZE', /SHOESIZE/],
  ['pool mount p none', /none/],
  ['pool mount p file', /file/],
  ['pool frob p', /unknown command 'frob'/],
];

const VOLUME: readonly Row[] = [
  ['volume create p/new', /required option '--size <size>' not specified/],
  ['volume create new --size 1G', /new: a volume is named DIR\/NAME, where the directory DIR holds the pool/],
  ['volume create p/ --size 1G', /p\/: a volume is named DIR\/NAME/],
  ['volume create none/new --size 1G', /none holds no pool/],
  ['volume create p/. --size 1G', /"." cannot be a volume's name/],
  [`volume create p/${'x'.repeat(256)} --size 1G`, /a volume's name has 1 to 255 bytes, and this has 256/],
  ['volume create p/new --size 0', /a volume's size is a multiple of 512 bytes/],
  ['volume create p/new --size 1000', /a volume's size is a multiple of 512 bytes.*not 1000/],
  [
    'volume create p/new --size 1G --id 16777216',
    /--id: "16777216" is not a whole number from 0 to 16777215/,
  ],
  ['volume create p/new --size 1G --id 0', /already has a volume with the id 0; choose another/],
  ['volume create p/a --size 1G', /p already has a volume a; choose another, or lamina volume rm that one/],
  ['volume create p/new --size 1G --external-origin none', /none/],
  ['volume create p/new --size 1G --external-origin dir', /dir must be a file or a block device/],
  ['volume snapshot p/a', /snapshots are pairs DIR\/ORIGIN DIR\/NAME; p\/a has no partner/],
  ['volume snapshot p/a p/a', /already has a volume a/],
  ['volume snapshot p/none p/new', /p has no volume none; lamina volume ls .*p lists what there is/],
  ['volume snapshot p/a p/new p/a p/new', /new/],
  ['volume snapshot p/a p/new p/a p/s', /already has a volume s/],
  ['volume snapshot p/a q/a', /p and .*q are two pools/],
  ['volume rm none/a', /none holds no pool: lamina pool create makes one: ENOENT\n/],
  ['volume rm p/none', /p has no volume none; lamina volume ls/],
  ['volume rm p/s p/none', /p has no volume none/],
  ['volume ls none', /none holds no pool/],
  ['volume status p/none', /no volume none/],
  ['volume status p/a --since p/none', /no volume none/],
  ['volume resize p/a', /missing required argument 'size'/],
  ['volume resize p/a 1000 --force', /a volume's size is a multiple of 512/],
  ['volume resize p/a 1M', /shrinking volume a from 1073741824 to 1048576 bytes.*--force/],
  ['volume rename p/a p/s', /already has a volume s/],
  ['volume rename p/a q/b', /are two pools/],
  ['volume rollback p/a p/none', /no volume none/],
  ['volume rollback p/a p/a', /a cannot be rolled back to itself/],
  ['volume set p/a', /volume a: say --read-only or --writable/],
  ['volume set p/a --read-only --writable', /volume a: say --read-only or --writable/],
  ['volume delta p/a p/s --json --verbose', /--json has the data blocks, and --verbose is for the XML/],
  ['volume delta p/a p/none', /has no volume none/],
  ['volume send p/none', /no volume none/],
  ['volume send p/a --from p/s -o out', /a|s/],
  ['volume send p/a --json', /--json says how much a --dry-run would send/],
  ['volume receive p/new -i file', /file|stream/],
  ['volume receive p/new -i none', /none/],
  ['volume receive p/a -i file', /a|stream/],
  ['volume export p/a none/image', /none/],
  ['volume export p/a out --format qcow2', /--format: must be one of raw, vhd, not "qcow2"/],
  ['volume export p/none out', /no volume none/],
  ['volume import p/new none', /none/],
  ['volume import p/new file --format vhd', /file|VHD/],
  ['volume import p/new -', /an image from stdin needs --size/],
  ['volume import p/new - --format vhd', /only a raw image can come from stdin/],
  ['volume mount p/none mnt', /no volume none/],
  ['volume mount p/a none', /none/],
  ['volume mount p/a mnt', /a|mnt/],
  ['volume mount p/a mnt --format nonsense', /nonsense/],
  ['volume umount mnt', /mnt/],
];

const NBD: readonly Row[] = [
  ['nbd', /missing required argument 'volumes'/],
  ['nbd p/a', /where to listen: give --socket PATH, or --port N for TCP/],
  ['nbd --socket s.sock', /missing required argument 'volumes'/],
  ['nbd --socket s.sock p/none', /no volume none/],
  ['nbd --socket s.sock p/a q/a', /are two pools/],
  ['nbd --socket none/s.sock p/a', /none\/s.sock/],
  ['nbd --socket file p/a', /file/],
  ['nbd --port 70000 p/a', /--port: "70000" is not a whole number from 0 to 65535/],
  ['nbd --socket s.sock --host localhost p/a', /--host goes with --port/],
  ['nbd --port 0 --host no.such.host.invalid p/a', /no.such.host.invalid/],
];

function prepare(stage: PoolStage): void {
  stage.ok('pool', 'create', 'p', '--size', '1G');
  stage.ok('pool', 'create', 'q', '--size', '1G');
  stage.ok('volume', 'create', 'p/a', '--size', '1G');
  stage.ok('volume', 'snapshot', 'p/a', 'p/s', '--read-only');
  stage.ok('pool', 'dump', 'p', '-o', 'xml');
  for (const name of ['dir', 'mnt', 'other', 'mnt2']) stage.dir(name);
  writeFileSync(stage.path('file'), 'neither a pool, nor a stream, nor an image');
  mkdirSync(stage.path('dir/inside'));
  copyFileSync(stage.path('file'), stage.path('other/pool.db'));
}

/** All that must not change. */
function state(stage: PoolStage): unknown {
  const files = readdirSync(stage.base, { recursive: true }).map(String);
  const volatile = /^(p|q|other)\/(pool.db-.*|queue|lock|control.sock)$/;
  const volumes = stage.ok('volume', 'ls', 'p', '--json').replaceAll('"active": true', '"active": false');
  const dump = stage.ok('pool', 'dump', 'p', '--names');
  // An export takes a snapshot for as long as it lasts, and each snapshot has its time.
  const timeless = (text: string) => text.replace(/(time"?[:=] ?"?)\d+/gi, '$1N');
  return [files.filter(name => !volatile.test(name)).sort(), timeless(volumes), timeless(dump)];
}

async function refuse(t: Test, stage: PoolStage, rows: readonly Row[]): Promise<void> {
  const before = state(stage);
  // Two at a time: there are two processors, and nothing is to change.
  const left = [...rows];
  const work = async () => {
    for (let row = left.shift(); row !== undefined; row = left.shift()) {
      const [words, error] = row;
      const { status, stdout, stderr } = await stage.start(words.split(' ')).ended;
      t.equal(status, 1, words);
      t.match(stderr, error, `${words}: says why`);
      t.equal(stdout, '', `${words}: nothing on stdout`);
      t.equal(
        stderr.split('\n').filter(line => !line.startsWith('(')).length,
        2,
        `${words}: in one line: ${stderr}`,
      );
    }
  };
  await Promise.all([work(), work()]);
  t.same(state(stage), before, 'nothing has changed');
}

t.test('alone', async t => {
  const stage = new PoolStage(t);
  prepare(stage);
  await refuse(t, stage, [...CREATE, ...POOL, ...VOLUME, ...NBD]);
  t.match(stage.ok('pool', 'check', 'p'), /nothing is wrong/);
});

t.test('what is not UTF-8 is not taken for another name', t => {
  const stage = new PoolStage(t);
  stage.ok('pool', 'create', 'p', '--size', '1G');
  const before = stage.names('.');
  for (const words of [
    "pool create $'new\\xff' --size 1G",
    "volume create $'p/new\\xff' --size 1G",
    "volume ls $'p\\xff'",
    "pool mount p $'mnt\\xff'",
    "nbd --socket $'s\\xff' p/a",
  ]) {
    const said = stage.sh(`! $L ${words} 2>&1`);
    t.match(said, /^lamina: \S+\ufffd is not UTF-8, which names of pools and volumes are in\n$/, words);
  }
  t.same(stage.names('.'), before);
  t.equal(stage.ok('volume', 'ls', 'p', '--json'), '[]\n');
  t.end();
});

t.test('while another process has the pool', async t => {
  const stage = new PoolStage(t);
  prepare(stage);
  stage.ok('pool', 'mount', 'p', 'mnt2');
  await refuse(t, stage, [...VOLUME, ...NBD]);
  stage.ok('umount', 'mnt2');
  t.match(stage.ok('pool', 'check', 'p'), /nothing is wrong/);
});
