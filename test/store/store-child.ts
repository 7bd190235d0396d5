// A process that has a store and is killed: argument 1 is its root, 2 the backend, 3 its options as JSON. Says "ready" when
// there is a layer that is mounted and written, and one of which half has been applied.
import type { BackendName } from '../../src/store/index.js';
import { REALM, Store, sh } from './stage.js';

const [root, backend, thin] = process.argv.slice(2);
const store = await Store.open(root!, { backend: backend as BackendName, thin: JSON.parse(thin!) });
const layers = store.layers(REALM);
await layers.prepare({ name: 'low', parent: null, kind: 'active' });
await sh(await layers.acquire('low'), 'echo low >f');
await layers.release('low');
await layers.prepare({ name: 'top', parent: 'low', kind: 'active' });
await sh(await layers.acquire('top'), 'echo synced >synced; sync -f .');
await layers.prepare({ name: 'half', parent: 'low', kind: 'active' });
let begun = (): void => {};
const asked = new Promise<void>(resolve => {
  begun = resolve;
});
async function* neverEnding(): AsyncGenerator<Buffer, void, undefined> {
  begun();
  // The first part of an archive's end; the rest never comes.
  yield Buffer.alloc(512);
  await new Promise(() => {});
}
void layers.apply('half', neverEnding());
await asked;
process.stdout.write('ready\n');
setInterval(() => {}, 1 << 30);
