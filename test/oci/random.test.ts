// Random trees, changed at random in one to three kernel overlay mounts on each other with all kinds of options: the
// layers through diff, tar and apply show what the last mount showed. A failing seed is in the name of the test.
import t from 'tap';
import { scratch } from '../support/cleanup.js';
import { Script, withoutDirectoryTimes } from './script.js';
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
