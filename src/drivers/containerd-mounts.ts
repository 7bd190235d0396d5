// What containerd gets to mount for a layer, and what its keys and labels say about one.
import { E, SysError } from '../base/index.js';
import type { IdMap, IdRange, LayerInfo, Layers } from '../store/index.js';
import type { LabelMap, Mount } from './containerd-schema.js';

/** Bytes that a snapshot may take, in decimal digits. */
const MAX_SIZE = 'containerd.io/snapshot/max-size';

/** 2^32 - 1 is no id. */
const LARGEST_ID = 2 ** 32 - 2;

/**
 * A layer that is being unpacked has a key that begins so (containerd's UnpackKeyFormat, which BuildKit uses too), behind the
 * name space and number that containerd puts before its clients' keys. A key never changes, so neither does what its mounts are.
 */
const UNPACKED = /(?:^|\/)extract-[^/ ]+ [^/ ]+$/;

/** Bytes that a new layer may take, or null. `standard` is for those that nobody has given a size. SysError EINVAL. */
export function sizeLimit(key: string, labels: LabelMap, standard: number | null): number | null {
  const text = labels[MAX_SIZE];
  // The layers of an image are as large as they are.
  if (text === undefined) return UNPACKED.test(key) ? null : standard;
  const bytes = /^[0-9]+$/.test(text) ? Number(text) : 0;
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  throw new SysError(E.EINVAL, `label ${MAX_SIZE}: "${text}" is not a number of bytes`);
}

const UID_MAPPING = 'containerd.io/snapshot/uidmapping';
const GID_MAPPING = 'containerd.io/snapshot/gidmapping';

/** How the labels wish that a new layer's ids are shown, or null. SysError EINVAL. */
export function idMapping(labels: LabelMap): IdMap | null {
  if (labels[UID_MAPPING] === undefined && labels[GID_MAPPING] === undefined) return null;
  return { uids: rangesIn(labels, UID_MAPPING), gids: rangesIn(labels, GID_MAPPING) };
}

/** CONTAINER:HOST:LENGTH, and since containerd 2 several of them between commas. */
function rangesIn(labels: LabelMap, name: string): IdRange[] {
  const text = labels[name];
  if (text === undefined) return [];
  return text.split(',').map(range => {
    const numbers = /^([0-9]+):([0-9]+):([0-9]+)$/.exec(range)?.slice(1).map(Number) ?? [];
    const [inside = 0, outside = 0, count = 0] = numbers;
    if (count > 0 && Math.max(inside, outside) + count <= LARGEST_ID + 1) return { inside, outside, count };
    throw new SysError(E.EINVAL, `label ${name}: "${text}" is not written CONTAINER:HOST:LENGTH`);
  });
}

/**
 * Containers get a bind of what the store keeps mounted. For an unpacker the directories are given as an overlay: it does not
 * mount those but writes into the upper one itself, whiteouts and all (containerd's diff/apply).
 */
export async function mountsOf(layers: Layers, { name, kind }: LayerInfo): Promise<Mount[]> {
  const overlay = UNPACKED.test(name) ? layers.overlay(name) : null;
  if (overlay !== null) {
    const { upper, work, lowers } = overlay;
    const options = ['index=off', `workdir=${work}`, `upperdir=${upper}`, `lowerdir=${lowers.join(':')}`];
    return [{ type: 'overlay', source: 'overlay', options }];
  }
  const source = await layers.hold(name);
  return [{ type: 'bind', source, options: ['rbind', kind === 'view' ? 'ro' : 'rw'] }];
}
