// What dockerd and its users may wish of the graph driver: `--storage-opt` of dockerd (at Init) and of containers, and the
// ids that userns-remap gives to a container's root. dockerd says it once in its life, so it is kept.
import { bytesOf, E, SysError } from '../base/index.js';
import type { IdMap, IdRange, Layers } from '../store/index.js';
import { BadRequest, type Body } from './docker-server.js';

/** What an Init has said. */
export interface GraphSettings {
  /** Bytes that a container may write when it does not say, or null. */
  readonly size: number | null;
  readonly uids: readonly IdRange[];
  readonly gids: readonly IdRange[];
}

const KEY = 'graphdriver';
const NOTHING: GraphSettings = { size: null, uids: [], gids: [] };

/** Reads an Init. EINVAL names an option that is unknown or cannot be. */
export function settingsOf(body: Body): GraphSettings {
  let size: number | null = null;
  for (const option of listOf(body, 'Opts')) {
    if (typeof option !== 'string') throw new BadRequest('Opts holds something that is no text');
    const equals = option.indexOf('=');
    const name = option.slice(0, Math.max(equals, 0));
    if (name !== 'lamina.size')
      throw new SysError(E.EINVAL, `--storage-opt ${option}: there is only lamina.size=BYTES`);
    size = sizeOf(option.slice(equals + 1), `--storage-opt ${name}`);
  }
  return { size, uids: rangesOf(body, 'UIDMaps'), gids: rangesOf(body, 'GIDMaps') };
}

export function keepSettings(layers: Layers, settings: GraphSettings): Promise<void> {
  return layers.remember(KEY, JSON.stringify(settings));
}

/** What the last Init has said. */
export function keptSettings(layers: Layers): GraphSettings {
  const kept = layers.recall(KEY);
  return kept === null ? NOTHING : (JSON.parse(kept) as GraphSettings);
}

/** The size that a container's StorageOpt wishes, or null. EINVAL names what is unknown. */
export function sizeWish(body: Body): number | null {
  const options = body.StorageOpt ?? {};
  if (typeof options !== 'object' || Array.isArray(options)) throw new BadRequest('StorageOpt is no object');
  let size: number | null = null;
  for (const [name, value] of Object.entries(options)) {
    // As dockerd's own drivers do: its documentation writes it so, and people write it otherwise.
    if (name.toLowerCase() !== 'size')
      throw new SysError(E.EINVAL, `--storage-opt ${name}: a container has only size=BYTES`);
    size = sizeOf(value, '--storage-opt size');
  }
  return size;
}

/** A size that somebody has written. */
export function sizeOf(text: unknown, what: string): number {
  const bytes = typeof text === 'string' ? bytesOf(text) : Number.NaN;
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  throw new SysError(E.EINVAL, `${what}="${String(text)}" is no size; it is written 100M, 10G or 1T`);
}

/** The ids of files as containers name them, and as they are on disk; null when they are the same. */
export function idMapOf({ uids, gids }: GraphSettings): IdMap | null {
  return uids.length === 0 && gids.length === 0 ? null : { uids, gids };
}

function rangesOf(body: Body, name: string): IdRange[] {
  return listOf(body, name).map(each => {
    const range = (typeof each === 'object' && each !== null ? each : {}) as Body;
    const [inside, outside, count] = ['container_id', 'host_id', 'size'].map(field => range[field]);
    if (!isId(inside) || !isId(outside) || !isId(count))
      throw new BadRequest(`${name} holds no range of ids`);
    return { inside, outside, count };
  });
}

function isId(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 2 ** 32;
}

function listOf(body: Body, name: string): unknown[] {
  const value = body[name] ?? [];
  if (!Array.isArray(value)) throw new BadRequest(`${name} is no list`);
  return value;
}
