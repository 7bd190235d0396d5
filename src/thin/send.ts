// Sends a volume as a stream: all of it, or (from another read-only volume) what differs. Data goes out in the order of
// its offsets, a record at a time; what a stream does not mention is a hole, or as it was in the base.
import { E, SysError } from '../base/index.js';
import type { Pool, VolumeInfo } from './pool.js';
import { changedRanges } from './send-changes.js';
import {
  countData,
  type Frozen,
  type Progress,
  piecesOf,
  portionFor,
  portions,
  type Range,
  withFrozen,
} from './send-source.js';
import { DIGEST_BYTES, encodeHeader, RECORD_BYTES, STREAM_VERSION, type StreamHeader } from './stream.js';
import { type ByteSink, StreamWriter } from './stream-write.js';

export interface SendOptions {
  /** Send the difference to this read-only volume only. */
  readonly from?: string;
  readonly output: ByteSink;
  /** Bytes of data. */
  readonly progress?: Progress;
}

export interface SendSummary {
  readonly guid: string;
  /** The guid of `from`. */
  readonly base: string | null;
  readonly dataBytes: number;
  readonly streamBytes: number;
}

/** What a send would be. Sizes in bytes. */
export interface SendEstimate {
  readonly name: string;
  readonly size: number;
  readonly blockSize: number;
  /** Null when the volume is writable: its content has no name yet. */
  readonly guid: string | null;
  readonly base: string | null;
  readonly dataBytes: number;
  /** Of the whole stream; what records add depends on how the data lies and is estimated. */
  readonly streamBytes: number;
}

/**
 * Writes the stream of a volume to `output`: of a writable volume its content of this moment. SysError: ENOENT; EINVAL
 * when an incremental send has a writable end; what reading or `output` throw.
 */
export async function sendVolume(pool: Pool, name: string, options: SendOptions): Promise<SendSummary> {
  const base = options.from === undefined ? null : baseOf(pool, name, options.from);
  return withFrozen(pool, name, async frozen => {
    const ranges = await rangesOf(pool, frozen.info, base);
    const writer = new StreamWriter(options.output);
    const dataBytes = await dataIn(frozen, ranges);
    await writer.header(headerOf(pool, frozen, base, dataBytes));
    await sendRanges(writer, frozen, { ranges, base, dataBytes, progress: options.progress });
    await writer.end();
    options.progress?.(dataBytes, dataBytes);
    return { guid: frozen.guid, base: base?.guid ?? null, dataBytes, streamBytes: writer.bytes };
  });
}

/** What `sendVolume` would send, from the maps alone. The same errors. */
export async function estimateSend(
  pool: Pool,
  name: string,
  options: { readonly from?: string } = {},
): Promise<SendEstimate> {
  const base = options.from === undefined ? null : baseOf(pool, name, options.from);
  const info = pool.info(name);
  const device = pool.volume(name);
  try {
    const guid = info.readOnly ? info.guid : null;
    const frozen = { device, info, guid: guid ?? '' };
    const ranges = await rangesOf(pool, info, base);
    const dataBytes = await dataIn(frozen, ranges);
    const records = Math.ceil(dataBytes / portionFor(pool.blockSize)) + 1;
    const head = encodeHeader(headerOf(pool, frozen, base, dataBytes)).length + DIGEST_BYTES;
    return {
      name,
      size: info.size,
      blockSize: pool.blockSize,
      guid,
      base: base?.guid ?? null,
      dataBytes,
      streamBytes: head + dataBytes + records * (RECORD_BYTES + DIGEST_BYTES),
    };
  } finally {
    await device.close();
  }
}

/** The volume that a difference is to; EINVAL unless both ends have a content with a name. */
function baseOf(pool: Pool, name: string, from: string): VolumeInfo {
  const info = pool.info(name);
  const base = pool.info(from);
  for (const end of [info, base]) {
    if (!end.readOnly) {
      throw new SysError(
        E.EINVAL,
        `an incremental send is between read-only volumes, and ${end.name} is writable`,
      );
    }
  }
  if (info.external !== base.external) {
    throw new SysError(E.EINVAL, `${name} and ${from} have different external origins: send ${name} in full`);
  }
  return base;
}

async function rangesOf(pool: Pool, info: VolumeInfo, base: VolumeInfo | null): Promise<Iterable<Range>> {
  if (base !== null) return changedRanges(pool, base, info);
  return info.size === 0 ? [] : [{ offset: 0, length: info.size }];
}

async function dataIn({ device }: Frozen, ranges: Iterable<Range>): Promise<number> {
  let total = 0;
  for (const range of ranges) total += await countData(device, range);
  return total;
}

function headerOf(pool: Pool, frozen: Frozen, base: VolumeInfo | null, dataBytes: number): StreamHeader {
  const { name, size } = frozen.info;
  const { blockSize } = pool;
  return {
    version: STREAM_VERSION,
    name,
    guid: frozen.guid,
    base: base?.guid ?? null,
    size,
    blockSize,
    dataBytes,
  };
}

interface Job {
  readonly ranges: Iterable<Range>;
  readonly base: VolumeInfo | null;
  readonly dataBytes: number;
  readonly progress: Progress | undefined;
}

async function sendRanges(writer: StreamWriter, { device }: Frozen, job: Job): Promise<void> {
  const portion = portionFor(device.blockSize);
  for (const range of job.ranges) {
    for await (const piece of piecesOf(device, range)) {
      if (piece.hole) {
        if (job.base !== null) await writer.unmapped(piece.offset, piece.length);
        continue;
      }
      for (const { offset, length } of portions(piece, portion)) {
        await writer.data(offset, length, (into, at) => device.read(offset, length, into, at));
        job.progress?.(writer.dataBytes, job.dataBytes);
      }
    }
  }
}
