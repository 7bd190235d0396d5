// Random trees, changed at random in one to three kernel overlay mounts on each other with all kinds of options: the
// layers through diff, tar and apply show what the last mount showed. A failing seed is in the name of the test.
import t from 'tap';
import { scratch } from '../support/cleanup.js';
import { applyTo, changeOverlay, sh, tarTo, treeDifference } from './stage.js';

const FIRST = Number(process.env.OCI_SEED ?? 1);
const COUNT = Number(process.env.OCI_COUNT ?? 12);
const OPTIONS = [
  '',
  'redirect_dir=on',
  'redirect_dir=on,index=on',
  'index=on',
  'redirect_dir=on,metacopy=on',
  'redirect_dir=on,metacopy=on,index=on',
  'userxattr',
];

/** A shell script of operations on a few names; what cannot be done at the moment fails in silence. */
class Script {
  private state: number;

  constructor(seed: number) {
    this.state = Math.imul(seed, 2654435761) >>> 0;
  }

  below(limit: number): number {
    this.state = (Math.imul(this.state, 1103515245) + 12345) >>> 0;
    return Math.floor(this.state / 65536) % limit;
  }

  private path(): string {
    return Array.from({ length: 1 + this.below(3) }, () => 'abcd'[this.below(4)]).join('/');
  }

  private operation(): string {
    const [a, b, n] = [this.path(), this.path(), this.below(1000)];
    const operations = [
      ...[`mkdir -p ${a}`, `mkdir ${a}`, `echo ${n} >${a}`, `echo ${n} >>${a}`, `rm -rf ${a}`, `rm -f ${a}`],
      ...[
        `rmdir ${a}`,
        `mv -T ${a} ${b}`,
        `mv ${a} ${b}`,
        `ln ${a} ${b}`,
        `ln -s ${a} ${b}`,
        `cp -a ${a} ${b}`,
      ],
      ...[
        `chmod ${[700, 755, 4755, 600][n % 4]} ${a}`,
        `chown ${n % 5} ${a}`,
        `touch ${a}`,
        `truncate -s ${n * 9} ${a}`,
      ],
      ...[`setfattr -n user.${n % 2 ? 'x' : 'y'} -v ${n % 9} ${a}`, `mknod ${a} c 1 ${n % 2 ? 3 : 5}`],
      ...[`setfacl -m u:${n % 3}:rw ${a}`, `setfacl -d -m u:${n % 3}:rw ${a}`],
      `rm -rf ${a}; mkdir -p ${a}; echo ${n} >${a}/b`,
    ];
    return operations[this.below(operations.length)]!;
  }

  lines(count: number): string {
    return `${Array.from({ length: count }, () => `( ${this.operation()} ) 2>/dev/null || true`).join('\n')}`;
  }
}

/** Times of directories follow from what happens in them, and without any other change no layer has them. */
function withoutDirectoryTimes(differences: string): string[] {
  return differences.split('\n').filter(line => line !== '' && !/^\.d\.\.t\.{6} /.test(line));
}

for (let seed = FIRST; seed < FIRST + COUNT; seed++) {
  const script = new Script(seed);
  const options = OPTIONS[seed % OPTIONS.length]!;
  void t.test(`seed ${seed}, ${options || 'no options'}`, async t => {
    const { dir } = scratch(t, 'oci-random');
    sh(dir, `mkdir 0 kept0 flat view; cd 0; ${script.lines(60)}`);
    // A copy that only the index holds is not in the upper, and layers below others have lost their index.
    if (options.includes('index')) sh(dir, 'cp -a --no-preserve=links 0 unlinked; rm -rf 0; mv unlinked 0');
    const layers = ['0'];
    const count = options.includes('index') ? 1 : 1 + script.below(3);
    for (let layer = 1; layer <= count; layer++) {
      changeOverlay(dir, layers, script.lines(40), options);
      sh(dir, `mv upper ${layer}; mv work work${layer}`);
      layers.unshift(String(layer));
    }
    for (const [i, layer] of layers.toReversed().entries()) {
      const lowers = layers.slice(layers.length - i).map(name => `${dir}/${name}`);
      await tarTo(`${dir}/${layer}.tar`, `${dir}/${layer}`, lowers);
      const { notes } = await applyTo(`${dir}/${layer}.tar`, `${dir}/flat`, { whiteouts: 'apply' });
      t.same(notes, []);
      await applyTo(`${dir}/${layer}.tar`, `${dir}/kept${layer}`);
    }
    t.same(withoutDirectoryTimes(treeDifference(dir, 'seen', 'flat')), [], 'on a plain tree');
    sh(dir, `mount -t overlay overlay -o lowerdir=${layers.map(name => `kept${name}`).join(':')} view`);
    t.same(withoutDirectoryTimes(treeDifference(dir, 'seen', 'view')), [], 'as layers');
    sh(dir, 'umount view');
  });
}
