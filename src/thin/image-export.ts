// Writes a volume as an image that other programs read: raw, sparse where it can be, or a fixed VHD. Of a writable volume
// it is the content of one moment, as in a send.
import type { BlockDevice } from '../base/index.js';
import { type ImageTarget, openTarget, SinkTarget } from './image-target.js';
import type { Pool } from './pool.js';
import { countData, type Progress, piecesOf, portionFor, portions, withFrozen } from './send-source.js';
import type { ByteSink } from './stream-write.js';
import { encodeFooter, VHD_SECTOR } from './vhd.js';

export type ImageFormat = 'raw' | 'vhd';

export interface ExportOptions {
  readonly format: ImageFormat;
  /** Bytes of data. */
  readonly progress?: Progress;
}

/**
 * Writes volume `name` to a path (see openTarget) or in order into a sink. A file is replaced only when all is written and
 * durable; a block device is overwritten in place. SysError: ENOENT, EINVAL, EFBIG (a VHD of this size), ENOSPC.
 */
export async function exportVolume(
  pool: Pool,
  name: string,
  target: string | ByteSink,
  { format, progress }: ExportOptions,
): Promise<void> {
  await withFrozen(pool, name, async ({ device, info }) => {
    const payload = format === 'vhd' ? Math.ceil(info.size / VHD_SECTOR) * VHD_SECTOR : info.size;
    const footer = format === 'vhd' ? encodeFooter(payload) : null;
    const total = payload + (footer?.length ?? 0);
    const image =
      typeof target === 'string' ? await openTarget(target, total, footer !== null) : new SinkTarget(target);
    let finished = false;
    try {
      await copy(device, info.size, image, progress);
      if (footer !== null) await image.data(payload, footer);
      await image.finish();
      finished = true;
    } finally {
      if (!finished) await image.abandon();
    }
  });
}

async function copy(
  device: BlockDevice,
  size: number,
  image: ImageTarget,
  progress: Progress | undefined,
): Promise<void> {
  const whole = { offset: 0, length: size };
  const total = await countData(device, whole);
  const portion = portionFor(device.blockSize);
  const buffer = Buffer.allocUnsafe(portion);
  let done = 0;
  for await (const piece of piecesOf(device, whole)) {
    if (piece.hole) {
      await image.hole(piece.offset, piece.length);
      continue;
    }
    for (const { offset, length } of portions(piece, portion)) {
      await device.read(offset, length, buffer, 0);
      await image.data(offset, buffer.subarray(0, length));
      done += length;
      progress?.(done, total);
    }
  }
  progress?.(total, total);
}
