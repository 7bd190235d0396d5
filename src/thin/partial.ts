// A volume that is being received or imported, or a moment of another that is being sent: nobody sees it until it is
// finished, and if the process ends before that, the next one to open the pool removes it.
import { E, SysError } from '../base/index.js';
import type { Core } from './core.js';
import type { ThinDevice } from './device.js';
import { checkSize } from './names.js';
import type { Operations } from './operations.js';
import type { VolumeInfo } from './pool.js';
import type { VolumeRow } from './schema.js';
import { Volume, type VolumeHost } from './volume.js';

export interface PartialRequest {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** The volume whose content it begins with; of this moment, if that is in use. */
  readonly base?: string;
  /** The name of the content that it will have. */
  readonly guid: string;
}

export class PartialVolume extends Volume {
  private ended = false;

  static async make(
    host: VolumeHost,
    core: Core,
    operations: Operations,
    request: PartialRequest,
    info: (row: VolumeRow) => VolumeInfo,
  ): Promise<PartialVolume> {
    const { name, size, base, guid } = request;
    checkSize(size);
    const row =
      base === undefined
        ? await operations.create({ name, size, guid, partial: true })
        : (await operations.snapshot([{ origin: base, name }], true))[0]!;
    try {
      if (row.size !== size) await operations.alone(() => operations.resizeRow(row, size));
      return new PartialVolume(host, core.acquire(row), operations, guid, info);
    } catch (error) {
      await operations.abandon(row);
      throw error;
    }
  }

  private constructor(
    host: VolumeHost,
    device: ThinDevice,
    private readonly operations: Operations,
    private readonly guid: string,
    private readonly describe: (row: VolumeRow) => VolumeInfo,
  ) {
    super(host, device);
  }

  /** Makes it a volume like any other; durable when it resolves. */
  async finish(options: { readonly readOnly: boolean }): Promise<VolumeInfo> {
    await this.conclude();
    const { row } = this.device;
    try {
      const fields = { partial: 0, read_only: options.readOnly ? 1 : 0, guid: this.guid };
      await this.operations.alone(() => this.operations.change(row, fields));
    } catch (error) {
      await this.operations.abandon(row);
      throw error;
    }
    return this.describe(row);
  }

  /** Removes it; when nothing can be committed now, that is thrown, and it goes when something can. */
  async abandon(): Promise<void> {
    await this.conclude();
    await this.operations.abandon(this.device.row);
  }

  private async conclude(): Promise<void> {
    if (this.ended) throw new SysError(E.EBADF, `${this.name} has been finished or abandoned`);
    this.ended = true;
    await this.close();
  }
}
