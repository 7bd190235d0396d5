// Receives a send stream into a new read-only volume with the sender's guid. Nothing of it can be seen before the whole
// stream has arrived and all of its digests are right; what goes wrong before leaves nothing behind.
import { E, SysError } from '../base/index.js';
import type { PartialVolume } from './partial.js';
import type { Pool, VolumeInfo } from './pool.js';
import { makeVolume, NewWriter } from './receive-writer.js';
import type { Progress } from './send-source.js';
import { DATA, type StreamHeader } from './stream.js';
import { StreamReader } from './stream-read.js';

export interface ReceiveOptions {
  /** The read-only volume that an incremental stream is the difference to. */
  readonly base?: string;
  /** The stream, in chunks of any length. */
  readonly input: AsyncIterable<Buffer>;
  /** Bytes of data. */
  readonly progress?: Progress;
}

/**
 * Makes volume `name` out of a stream. SysError: EEXIST; EINVAL when the stream does not go with `base`; EMEDIUMTYPE, EPROTO
 * and EBADMSG as StreamReader has them; ENOSPC.
 */
export async function receiveVolume(pool: Pool, name: string, options: ReceiveOptions): Promise<VolumeInfo> {
  const reader = new StreamReader(options.input);
  try {
    const header = await reader.header();
    const base = checkBase(pool, options.base, header);
    const { size, guid, dataBytes } = header;
    const request = { name, size, guid, ...(base === null ? {} : { base: base.name }) };
    return await makeVolume(pool, request, true, async volume => {
      if (base !== null) await clearGrowth(volume, base.size);
      await apply(reader, new NewWriter(pool, volume), volume, report(dataBytes, options.progress));
      options.progress?.(dataBytes, dataBytes);
    });
  } finally {
    await reader.close();
  }
}

/** What a stream says about itself; reads its header only, and ends the iteration. The errors of StreamReader.header. */
export async function describeStream(input: AsyncIterable<Buffer>): Promise<StreamHeader> {
  const reader = new StreamReader(input);
  try {
    return await reader.header();
  } finally {
    await reader.close();
  }
}

/** The volume that the stream goes onto; null for a full stream. */
function checkBase(pool: Pool, base: string | undefined, header: StreamHeader): VolumeInfo | null {
  if (base === undefined) {
    if (header.base === null) return null;
    throw new SysError(
      E.EINVAL,
      `the stream of ${header.name} is incremental: name the volume with guid ${header.base}`,
    );
  }
  if (header.base === null) {
    throw new SysError(E.EINVAL, `the stream of ${header.name} is a full one and has no base`);
  }
  const info = pool.info(base);
  if (!info.readOnly) throw new SysError(E.EINVAL, `${base} is writable: the base of a receive is read-only`);
  if (info.guid !== header.base) {
    throw new SysError(E.EINVAL, `${base} has guid ${info.guid}, and the stream's base has ${header.base}`);
  }
  return info;
}

/** Past the base's end all reads as zeros, also in the block in which the base ended. */
async function clearGrowth(volume: PartialVolume, baseSize: number): Promise<void> {
  const blockEnd = Math.ceil(baseSize / volume.blockSize) * volume.blockSize;
  const end = Math.min(blockEnd, volume.size);
  if (end > baseSize) await volume.zero(baseSize, end - baseSize, true);
}

async function apply(
  reader: StreamReader,
  writer: NewWriter,
  volume: PartialVolume,
  report: (length: number) => void,
): Promise<void> {
  for (let record = await reader.next(); record !== null; record = await reader.next()) {
    const { type, offset, length, data } = record;
    if (type === DATA) {
      await writer.write(offset, data);
      report(length);
    } else {
      await volume.zero(offset, length, true);
    }
  }
}

function report(total: number, progress: Progress | undefined): (length: number) => void {
  let done = 0;
  return length => {
    done += length;
    progress?.(done, total);
  };
}
