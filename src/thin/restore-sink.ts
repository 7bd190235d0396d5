// Takes what thin_dump's XML says into the tables of a new pool: checks each value against the pool's rules, builds the
// maps, and writes the rows. Everything happens in the one transaction of the database that `open` gives.
import { randomUUID } from 'node:crypto';
import { E, isErrno, type SysError } from '../base/index.js';
import type { Database } from '../sys/index.js';
import { depthFor, MAX_TIME } from './entry.js';
import { checkBlockSize, checkId, checkName, checkSize, poolBlocks, SECTOR } from './names.js';
import { DEFAULTS, type PoolOptions, withOptions } from './options.js';
import type { Run } from './reader.js';
import { MapBuilder, PageStore } from './restore-map.js';
import type { VolumeRow } from './schema.js';
import { xmlError } from './xml.js';
import { FLAG_NEEDS_CHECK, type Note, THIN_VERSION } from './xml-format.js';
import type { Numbers, ThinSink } from './xml-thin.js';

/** What the superblock says of the pool; sizes in bytes. */
export interface PoolShape {
  readonly blockSize: number;
  readonly blocks: number;
}

export class RestoreSink implements ThinSink {
  volumes = 0;
  mapped = 0;
  /** Null until the superblock was read. */
  database: Database | null = null;
  private pages!: PageStore;
  private shape: PoolShape = { blockSize: 0, blocks: 0 };
  private time = 0;
  private row: Record<string, unknown> = {};
  private current: Numbers | null = null;
  private map!: MapBuilder;
  private fields: ReadonlyMap<string, string> = new Map();
  private readonly ids = new Set<number>();
  private readonly names = new Set<string>();
  /** Guids, and whether a volume of each can be written. */
  private readonly guids = new Map<string, boolean>();

  /** `open` makes the pool and begins the transaction; `options` go before those of the dump. */
  constructor(
    private readonly open: (shape: PoolShape) => Promise<Database>,
    private readonly options: Partial<PoolOptions>,
  ) {}

  async superblock(numbers: Numbers, line: number): Promise<void> {
    const { time = 0, transaction, flags = 0, version = 1, nr_data_blocks = 0 } = numbers;
    const blockSize = numbers.data_block_size! * SECTOR;
    atLine(line, () => checkBlockSize(blockSize));
    const blocks = atLine(line, () => poolBlocks(nr_data_blocks * blockSize, blockSize));
    if (time > MAX_TIME) throw xmlError(line, `time ${time} is above ${MAX_TIME}`);
    if (version < 1 || version > THIN_VERSION)
      throw xmlError(line, `version ${version} is none of thin metadata`);
    if (flags > FLAG_NEEDS_CHECK)
      throw xmlError(line, `flags ${flags} mean something that is not known here`);
    this.time = time;
    this.shape = { blockSize, blocks };
    this.row = { time, transaction_id: transaction, needs_check: flags & FLAG_NEEDS_CHECK };
    const database = await this.open(this.shape);
    this.database = database;
    const page = database.prepare('INSERT INTO thin_page (id, words) VALUES (?, ?)');
    this.pages = new PageStore((id, words) => page.run(id, bytesOf(words)));
  }

  device(numbers: Numbers, line: number): void {
    const id = numbers.dev_id!;
    atLine(line, () => checkId(id));
    if (this.ids.has(id)) throw xmlError(line, `there are two devices with id ${id}`);
    for (const time of [numbers.creation_time!, numbers.snap_time!]) this.checkTime(time, line);
    this.ids.add(id);
    this.current = numbers;
    this.fields = new Map();
    this.map = new MapBuilder(this.pages);
  }

  mapping(run: Run, line: number): void {
    const { begin, block, length, time } = run;
    const { blocks, blockSize } = this.shape;
    const { end } = this.map;
    this.checkTime(time, line);
    if (length < 1) throw xmlError(line, 'a mapping of length 0');
    if (block + length > blocks) {
      throw xmlError(line, `data block ${block + length - 1} is beyond the ${blocks} that the pool has`);
    }
    if (begin < end) {
      throw xmlError(line, `block ${begin} is mapped already, or out of order: ${end - 1} came before`);
    }
    atLine(line, () => checkSize((begin + length) * blockSize));
    this.map.add(run);
  }

  note({ about, fields }: Note, line: number): void {
    if (about === 'volume' && this.current !== null) {
      this.fields = fields;
    } else if (about === 'pool' && this.current === null) {
      const uuid = fields.get('uuid');
      if (uuid !== undefined) this.row.uuid = uuid;
      atLine(line, () => {
        const options = withOptions(DEFAULTS, JSON.parse(fields.get('options') ?? '{}') as object);
        this.row.options = JSON.stringify(withOptions(options, this.options));
      });
    } else {
      throw xmlError(line, 'this comment is no note of lamina, though it begins as one');
    }
  }

  endDevice(line: number): void {
    const numbers = this.current!;
    const { map } = this;
    if (map.mapped !== numbers.mapped_blocks) {
      const said = `mapped_blocks="${numbers.mapped_blocks}"`;
      throw xmlError(line, `device ${numbers.dev_id} has ${said}, and ${map.mapped} mappings`);
    }
    const size = this.sizeOf(map.end, line);
    const depth = depthFor(Math.ceil(size / this.shape.blockSize));
    const row: VolumeRow = {
      id: numbers.dev_id!,
      ...this.identity(numbers.dev_id!, line),
      size,
      depth,
      root: map.finish(depth),
      mapped: map.mapped,
      transaction_id: numbers.transaction!,
      creation_time: numbers.creation_time!,
      snap_time: numbers.snap_time!,
      partial: 0,
    };
    insert(this.database!, 'thin_volume', Object.keys(row)).run(row);
    this.volumes++;
    this.mapped += map.mapped;
    this.current = null;
  }

  end(): void {
    const { pages, row } = this;
    const database = this.database!;
    const counts = [
      ['thin_data_count', pages.dataCounts.rows(0, this.shape.blocks)],
      ['thin_page_count', pages.pageCounts.rows(1, Number.POSITIVE_INFINITY)],
    ] as const;
    for (const [table, rows] of counts) {
      const statement = insert(database, table, ['id', 'free', 'counts']);
      for (const { id, free, counts } of rows) statement.run({ id, free, counts: bytesOf(counts) });
    }
    const columns = Object.keys(row).map(column => `${column} = @${column}`);
    database.prepare(`UPDATE thin_pool SET ${columns.join(', ')}`).run(row);
  }

  private checkTime(time: number, line: number): void {
    if (time > this.time) throw xmlError(line, `time ${time} is later than the pool's, ${this.time}`);
  }

  private sizeOf(end: number, line: number): number {
    const given = this.fields.get('size');
    const { blockSize } = this.shape;
    if (given === undefined) return Math.max(1, end) * blockSize;
    const size = Number(given);
    atLine(line, () => checkSize(size));
    if (Math.ceil(size / blockSize) >= end) return size;
    throw xmlError(line, `the device has size ${size}, and block ${end - 1} of it is mapped`);
  }

  /** What the volume is called and where it comes from: as the dump's comment says, or as is the rule. */
  private identity(
    id: number,
    line: number,
  ): Pick<VolumeRow, 'name' | 'guid' | 'read_only' | 'origin' | 'external'> {
    const { fields } = this;
    const name = fields.get('name') ?? `thin-${id}`;
    atLine(line, () => checkName(name));
    if (this.names.has(name)) throw xmlError(line, `there are two volumes named ${name}`);
    this.names.add(name);
    const guid = fields.get('guid') || randomUUID();
    const readOnly = fields.get('read_only') === '1';
    const other = this.guids.get(guid);
    if (other === true || (other === false && !readOnly)) {
      throw xmlError(line, `two volumes have the guid ${guid}, and one of them may change`);
    }
    this.guids.set(guid, !readOnly);
    const origin = fields.get('origin');
    if (origin !== undefined) atLine(line, () => checkId(Number(origin)));
    return {
      name,
      guid,
      read_only: readOnly ? 1 : 0,
      origin: origin === undefined ? null : Number(origin),
      external: fields.get('external') ?? null,
    };
  }
}

/** What breaks a rule in `body` is said of the line. */
function atLine<T>(line: number, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (isErrno(error, E.EINVAL)) throw xmlError(line, (error as SysError).what);
    if (error instanceof SyntaxError) throw xmlError(line, error.message);
    throw error;
  }
}

function insert(
  database: Database,
  table: string,
  columns: readonly string[],
): ReturnType<Database['prepare']> {
  const values = columns.map(column => `@${column}`).join(', ');
  return database.prepare(`INSERT INTO ${table} (${columns.join(', ')}) VALUES (${values})`);
}

function bytesOf(words: Uint32Array): Buffer {
  return Buffer.from(words.buffer, words.byteOffset, words.byteLength);
}
