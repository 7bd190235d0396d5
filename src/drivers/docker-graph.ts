// Docker's graph driver plugin (dockerd up to 27): image and container layers. One row a method; the store does the work.
import { E, isErrno, SysError, toText } from '../base/index.js';
import type { Layers, Store } from '../store/index.js';
import { idMapOf, keepSettings, keptSettings, settingsOf, sizeWish } from './docker-options.js';
import {
  BadRequest,
  type Body,
  type Method,
  type MethodTable,
  optionalText,
  textOf,
} from './docker-server.js';

/** dockerd writes to layers of all kinds through Get, so all are active, and any may be a parent. */
const REALM = { name: 'docker', parentsAreCommitted: false };

/** Kinds of change (moby's archive.ChangeType). */
const KIND = { C: 0, A: 1, D: 2 } as const;

export interface GraphOptions {
  /** Bytes that a container may write when neither it nor dockerd says, or null. */
  readonly defaultSize: number | null;
}

export function graphDriver(store: Store, { defaultSize }: GraphOptions): MethodTable {
  const layers = store.layers(REALM);
  const ids = () => idMapOf(keptSettings(layers));
  const create = (quotaOf: (wish: number | null) => number | null): Method => ({
    async run({ body }) {
      const [name, quota] = [layerId(body), quotaOf(sizeWish(body))];
      const parent = optionalText(body, 'Parent');
      await layers.prepare({ name, parent, kind: 'active', quota, ids: ids() });
      return {};
    },
    undo: async ({ body }) => remove(layers, textOf(body, 'ID')),
  });
  return {
    'GraphDriver.Init': {
      async run({ body }) {
        await keepSettings(layers, settingsOf(body));
        // What an earlier dockerd that died had mounted, and no container of it uses, nobody will give back.
        await layers.forgetUnused();
        return {};
      },
    },
    'GraphDriver.Capabilities': { run: async () => ({ Capabilities: { ReproducesExactDiffs: false } }) },
    'GraphDriver.Create': create(imageQuota),
    'GraphDriver.CreateReadWrite': create(wish => wish ?? keptSettings(layers).size ?? defaultSize),
    'GraphDriver.Remove': { run: async ({ body }) => remove(layers, textOf(body, 'ID')) },
    'GraphDriver.Get': {
      run: async ({ body }) => ({ Dir: await layers.acquire(textOf(body, 'ID')) }),
      undo: ({ body }) => layers.release(textOf(body, 'ID')),
    },
    'GraphDriver.Put': {
      async run({ body }) {
        await layers.release(textOf(body, 'ID'));
        return {};
      },
    },
    'GraphDriver.Exists': { run: async ({ body }) => ({ Exists: layers.exists(textOf(body, 'ID')) }) },
    'GraphDriver.Status': { run: async () => ({ Status: await store.status() }) },
    'GraphDriver.GetMetadata': {
      run: async ({ body }) => ({ Metadata: layers.describe(textOf(body, 'ID')) }),
    },
    'GraphDriver.Cleanup': { run: async () => ({}) },
    'GraphDriver.Diff': {
      givesStream: true,
      run: async ({ body }) => layers.diff(textOf(body, 'ID'), optionalText(body, 'Parent'), ids()),
    },
    'GraphDriver.Changes': { run: async ({ body }) => ({ Changes: await changes(layers, body) }) },
    'GraphDriver.ApplyDiff': {
      takesStream: true,
      async run({ query, stream }) {
        const id = query.get('id') ?? '';
        if (id === '') throw new BadRequest('the request has no id');
        const { size } = await layers.apply(id, stream, ids());
        return { Size: size };
      },
    },
    'GraphDriver.DiffSize': {
      run: async ({ body }) => ({
        Size: await layers.changedSize(textOf(body, 'ID'), optionalText(body, 'Parent')),
      }),
    },
  };
}

/** Only what a container writes is limited: an image layer has the size that it has. */
function imageQuota(wish: number | null): null {
  if (wish === null) return null;
  throw new SysError(E.EINVAL, '--storage-opt size: only for the layer of a container');
}

/** dockerd's ids: 64 hexadecimal digits, perhaps with "-init", or BuildKit's letters and digits. */
function layerId(body: Body): string {
  const id = textOf(body, 'ID');
  if (/^[a-z0-9][a-z0-9-]{0,127}$/.test(id)) return id;
  throw new SysError(E.EINVAL, `"${id}" is no id of a layer: letters a to z, digits and "-"`);
}

/** One that is not there has been removed before. */
async function remove(layers: Layers, id: string): Promise<object> {
  try {
    await layers.remove(id);
  } catch (error) {
    if (!isErrno(error, E.ENOENT)) throw error;
  }
  return {};
}

async function changes(layers: Layers, body: Body): Promise<{ Path: string; Kind: number }[]> {
  const found: { Path: string; Kind: number }[] = [];
  for await (const { path, kind } of layers.changes(textOf(body, 'ID'), optionalText(body, 'Parent')))
    found.push({ Path: `/${toText(path)}`, Kind: KIND[kind] });
  return found;
}
