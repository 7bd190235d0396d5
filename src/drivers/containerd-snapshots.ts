// containerd's snapshotter: one row a call; the store does the work.
import { E, SysError } from '../base/index.js';
import type { Labels, LayerInfo, Layers, Store } from '../store/index.js';
import { type Filter, parseFilters } from './containerd-filters.js';
import { idMapping, mountsOf, sizeLimit } from './containerd-mounts.js';
import { type Calls, type Info, KIND, type Mount, type Timestamp } from './containerd-schema.js';

const REALM = { name: 'containerd', parentsAreCommitted: true };

export interface SnapshotterOptions {
  /** Bytes that a container may write when nobody has said how many, or null. */
  readonly size?: number | null;
}

type Answer<M extends keyof Calls> = M extends 'List'
  ? Iterable<Calls[M]['response']>
  : Promise<Calls[M]['response']>;

/** The calls by name. Their errors are SysErrors. */
export type SnapshotTable = {
  readonly [M in keyof Calls]: (request: Calls[M]['request']) => Answer<M>;
};

/** How many go into one message of a list. */
const PER_MESSAGE = 100;

export function snapshotter(store: Store, { size = null }: SnapshotterOptions = {}): SnapshotTable {
  const layers = store.layers(REALM);
  const prepare =
    (kind: 'active' | 'view') =>
    async ({ key, parent, labels }: Calls['Prepare']['request']): Promise<{ mounts: Mount[] }> => {
      const quota = kind === 'view' ? null : sizeLimit(key, labels, size);
      const shown = idMapping(labels);
      const request = { name: key, parent: parent === '' ? null : parent, kind, labels, quota, shown };
      const made = await layers.prepare(request);
      try {
        return { mounts: await mountsOf(layers, made) };
      } catch (error) {
        // Who gets an error has no snapshot, and may ask again for the same.
        await layers.remove(key);
        throw error;
      }
    };
  return {
    Prepare: prepare('active'),
    View: prepare('view'),
    Mounts: async ({ key }) => ({ mounts: await mountsOf(layers, layers.stat(key)) }),
    async Commit({ key, name, labels, parent }) {
      checkParent(layers.stat(key), parent);
      await layers.commit(key, name, labels);
      return {};
    },
    async Remove({ key }) {
      await layers.remove(key);
      return {};
    },
    Stat: async ({ key }) => ({ info: toInfo(layers.stat(key)) }),
    Update: async ({ info, update_mask }) => ({
      info: toInfo(await update(layers, info, update_mask?.paths ?? [])),
    }),
    List: ({ filters }) => list(layers, parseFilters(filters)),
    async Usage({ key }) {
      const { bytes, inodes } = await layers.usage(key);
      return { size: bytes, inodes };
    },
    async Cleanup() {
      await store.swept();
      return {};
    },
  };
}

/** containerd 2.2 can name the parent only now (its capability `rebase`), which this snapshotter does not say it has. */
function checkParent({ name, parent }: LayerInfo, wanted: string): void {
  if (wanted === '' || wanted === parent) return;
  throw new SysError(
    E.ENOTSUP,
    `layer ${name} was made on ${parent ?? 'nothing'}; it cannot be put on ${wanted}`,
  );
}

const MEMBER = 'labels.';

/** An empty mask stands for all that can change, which is the labels. */
function update(layers: Layers, info: Info | null, mask: readonly string[]): Promise<LayerInfo> {
  if (info === null) throw new SysError(E.EINVAL, 'the request has no info');
  for (const path of mask) {
    if (path !== 'labels' && !path.startsWith(MEMBER))
      throw new SysError(E.EINVAL, `layer ${info.name}: ${path} cannot be changed`);
  }
  const paths = mask.length === 0 ? ['labels'] : mask;
  return layers.relabel(info.name, found => {
    let labels: Labels = found;
    for (const path of paths) {
      const name = path.slice(MEMBER.length);
      labels = path === 'labels' ? info.labels : { ...labels, [name]: info.labels[name] ?? '' };
    }
    // containerd keeps no empty label.
    return Object.fromEntries(Object.entries(labels).filter(([, value]) => value !== ''));
  });
}

function* list(layers: Layers, filter: Filter): Generator<{ info: Info[] }, void, undefined> {
  const found = layers.list().filter(info => filter(path => field(info, path)));
  for (let at = 0; at < found.length; at += PER_MESSAGE)
    yield { info: found.slice(at, at + PER_MESSAGE).map(toInfo) };
}

/** What a filter may ask about. A layer without a parent has the parent "". */
function field({ name, parent, kind, labels }: LayerInfo, [first, ...rest]: readonly string[]) {
  if (first === 'labels') return labels[rest.join('.')];
  const fields: Record<string, string> = { name, kind, parent: parent ?? '' };
  return first === undefined ? undefined : fields[first];
}

function toInfo({ name, parent, kind, labels, created, updated }: LayerInfo): Info {
  return {
    ...{ name, parent: parent ?? '', kind: KIND[kind], labels },
    ...{ created_at: timestamp(created), updated_at: timestamp(updated) },
  };
}

function timestamp(microseconds: number): Timestamp {
  const seconds = Math.floor(microseconds / 1e6);
  return { seconds, nanos: (microseconds - seconds * 1e6) * 1000 };
}
