// The damages: one for every kind of finding and some more, each made by SQL or in the bytes of a page, with what check must
// call it and whether repair must be able to mend it.
import { truncateSync } from 'node:fs';
import { join } from 'node:path';
import type { FindingKind } from '../../src/thin/check-kinds.js';
import { blockAt, PAGE_BYTES, setChild, setMapping, timeAt } from '../../src/thin/entry.js';
import { BLOCK, BLOCKS, type Damager } from './check-damager.js';

/** [what, what check calls it, whether repair mends it, how it is made]. */
export type Damage = readonly [
  name: string,
  kind: FindingKind,
  mended: boolean,
  make: (damager: Damager) => void,
];

const FREE_BLOCK = 900;
const FREE_PAGE = 700;

const IN_COUNTS: readonly Damage[] = [
  [
    'a used block counted too often',
    'data-count-high',
    true,
    d => d.count('data', d.firstBlock('a'), n => n + 3),
  ],
  ['a free block counted', 'data-count-high', true, d => d.count('data', FREE_BLOCK, () => 1)],
  ['a block in an empty chunk counted', 'data-count-high', true, d => d.count('data', 1050, () => 7)],
  ['a shared block counted as own', 'data-count-low', true, d => d.count('data', d.firstBlock('a'), () => 1)],
  ['a used block counted as free', 'data-count-low', true, d => d.count('data', d.firstBlock('b'), () => 0)],
  [
    'a shared page counted too often',
    'page-count-high',
    true,
    d => d.count('page', d.volume('s').root, n => n + 1),
  ],
  ['a free page counted', 'page-count-high', true, d => d.count('page', FREE_PAGE, () => 2)],
  [
    'a shared page counted as own',
    'page-count-low',
    true,
    d => d.count('page', d.volume('s').root, n => n - 1),
  ],
  ['a used page counted as free', 'page-count-low', true, d => d.count('page', d.volume('a').root, () => 0)],
  ['no row of data counts', 'data-count-low', true, d => d.run('DELETE FROM thin_data_count WHERE id = 0')],
  ['no row of page counts', 'page-count-low', true, d => d.run('DELETE FROM thin_page_count WHERE id = 0')],
  [
    'a wrong free number of data',
    'chunk-free',
    true,
    d => d.run('UPDATE thin_data_count SET free = free - 1'),
  ],
  [
    'a wrong free number of pages',
    'chunk-free',
    true,
    d => d.run('UPDATE thin_page_count SET free = free + 1'),
  ],
  [
    'a row of zeros',
    'chunk-zeros',
    true,
    d => d.run('INSERT INTO thin_page_count VALUES (3, 1024, ?)', Buffer.alloc(PAGE_BYTES)),
  ],
  [
    'counts of blocks that are not',
    'chunk-id',
    true,
    d => d.run('INSERT INTO thin_data_count VALUES (2, 0, ?)', Buffer.alloc(PAGE_BYTES, 1)),
  ],
  [
    'counts of blocks before the first',
    'chunk-id',
    true,
    d => d.run('INSERT INTO thin_data_count VALUES (-1, 0, ?)', Buffer.alloc(PAGE_BYTES, 1)),
  ],
  ['counts cut short', 'chunk-length', true, d => d.run("UPDATE thin_data_count SET counts = x'00'")],
];

const IN_PAGES: readonly Damage[] = [
  [
    'a leaf is missing',
    'page-missing',
    false,
    d => d.run('DELETE FROM thin_page WHERE id = ?', d.page('b', 1).id),
  ],
  [
    'a root is missing',
    'page-missing',
    false,
    d => d.run('DELETE FROM thin_page WHERE id = ?', d.volume('a').root),
  ],
  ['a page id beyond all', 'page-missing', false, d => d.edit('a', 3, words => setChild(words, 9, 2 ** 50))],
  [
    'a page cut short',
    'page-length',
    false,
    d => d.run('UPDATE thin_page SET words = substr(words, 1, 4095) WHERE id = ?', d.page('b', 1).id),
  ],
  ['a page within itself', 'page-heights', false, d => d.edit('a', 2, (words, id) => setChild(words, 7, id))],
  [
    'a leaf as an inner page',
    'page-heights',
    false,
    d => d.edit('a', 3, w => setChild(w, 7, d.page('a', 1).id)),
  ],
  ['a leaf that maps nothing', 'page-empty', true, d => d.edit('b', 1, words => words.fill(0))],
  [
    'a page that nobody has',
    'page-leaked',
    true,
    d => d.run('INSERT INTO thin_page VALUES (?, ?)', FREE_PAGE, Buffer.alloc(PAGE_BYTES)),
  ],
  [
    'a counted page that nobody has',
    'page-leaked',
    true,
    d => {
      d.run(
        'INSERT INTO thin_page SELECT ?, words FROM thin_page WHERE id = ?',
        FREE_PAGE,
        d.page('b', 1).id,
      );
      d.count('page', FREE_PAGE, () => 1);
    },
  ],
  [
    'page 0',
    'page-leaked',
    true,
    d => d.run('INSERT INTO thin_page VALUES (0, ?)', Buffer.alloc(PAGE_BYTES)),
  ],
  [
    'page -5',
    'page-leaked',
    true,
    d => d.run('INSERT INTO thin_page VALUES (-5, ?)', Buffer.alloc(PAGE_BYTES)),
  ],
  [
    'a page with an id beyond all',
    'page-leaked',
    true,
    d => d.run(`INSERT INTO thin_page VALUES (${2n ** 62n}, ?)`, Buffer.alloc(PAGE_BYTES)),
  ],
  ['a time without a block', 'entry', false, d => d.edit('b', 1, words => words.fill(5 << 8, 1, 2))],
  [
    'a block that is not there',
    'block-range',
    false,
    d => d.edit('b', 1, words => setMapping(words, 9, BLOCKS, 0)),
  ],
  [
    'a mapping of the future',
    'mapping-time',
    false,
    d => d.edit('b', 1, words => setMapping(words, 3, blockAt(words, 3), timeAt(words, 3) + 9)),
  ],
  [
    'a block mapped twice',
    'data-count-low',
    true,
    d => d.edit('b', 1, w => setMapping(w, 9, blockAt(w, 3), 0)),
  ],
  [
    'a mapping that was lost',
    'data-count-high',
    true,
    d => d.edit('b', 1, words => setMapping(words, 3, -1, 0)),
  ],
];

const IN_ROWS: readonly Damage[] = [
  ['needs_check', 'needs-check', true, d => d.run('UPDATE thin_pool SET needs_check = 1')],
  ['no row of the pool', 'pool', false, d => d.run('DELETE FROM thin_pool')],
  ['block size 0', 'pool', false, d => d.run('UPDATE thin_pool SET block_size = 0')],
  ['block size 100 KiB', 'pool', false, d => d.run('UPDATE thin_pool SET block_size = 102400')],
  ['a negative number of blocks', 'pool', false, d => d.run('UPDATE thin_pool SET data_blocks = -1')],
  ['a time before all', 'pool', false, d => d.run('UPDATE thin_pool SET time = -1')],
  ['options that are none', 'pool', false, d => d.run("UPDATE thin_pool SET options = '{'")],
  ['fewer blocks than are mapped', 'block-range', false, d => d.run('UPDATE thin_pool SET data_blocks = 20')],
  ['a pool of an earlier time', 'mapping-time', false, d => d.run('UPDATE thin_pool SET time = 0')],
  ['a data file cut short', 'data-file', false, d => truncateSync(join(d.dir, 'data'), BLOCKS * BLOCK - 1)],
  ['another data file', 'data-file', false, d => d.run("UPDATE thin_pool SET data = 'elsewhere'")],
  [
    'a number of blocks beyond all',
    'data-file',
    false,
    d => d.run(`UPDATE thin_pool SET data_blocks = ${2 ** 39}`),
  ],
  [
    'a volume id beyond all',
    'volume-row',
    false,
    d => d.run("UPDATE thin_volume SET id = 16777216 WHERE name = 'b'"),
  ],
  [
    'a volume of no size',
    'volume-row',
    false,
    d => d.run("UPDATE thin_volume SET size = 0 WHERE name = 'b'"),
  ],
  ['a negative root', 'volume-row', false, d => d.run("UPDATE thin_volume SET root = -1 WHERE name = 'b'")],
  [
    'a name with a slash',
    'volume-name',
    false,
    d => d.run("UPDATE thin_volume SET name = 'a/b' WHERE name = 'b'"),
  ],
  ['no name', 'volume-name', false, d => d.run("UPDATE thin_volume SET name = '' WHERE name = 'b'")],
  [
    'two volumes of one guid',
    'volume-guid',
    false,
    d => d.run("UPDATE thin_volume SET guid = (SELECT guid FROM thin_volume WHERE name = 'a')"),
  ],
  ['a map too low', 'depth', false, d => d.run("UPDATE thin_volume SET depth = 2 WHERE name = 'a'")],
  ['a map too high', 'depth', false, d => d.run('UPDATE thin_volume SET depth = 1000000000')],
  ['a size that grew', 'depth', false, d => d.run("UPDATE thin_volume SET size = 1 << 50 WHERE name = 'b'")],
  ['a wrong counter', 'mapped', true, d => d.run("UPDATE thin_volume SET mapped = 3 WHERE name = 'a'")],
  ['a wrong counter held', 'mapped', true, d => d.run("UPDATE thin_held SET mapped = 3 WHERE name = 'a'")],
  [
    'a volume cut off',
    'beyond-end',
    false,
    d => d.run("UPDATE thin_volume SET size = 262144 WHERE name = 'b'"),
  ],
  ['a volume of the future', 'volume-time', false, d => d.run('UPDATE thin_volume SET snap_time = 99')],
  [
    'a root that is another height',
    'page-heights',
    false,
    d => d.run('UPDATE thin_volume SET root = ?', d.volume('b').root),
  ],
  ['volumes of no metadata snapshot', 'held', false, d => d.run('UPDATE thin_pool SET held_time = NULL')],
  ['a metadata snapshot of the future', 'held', false, d => d.run('UPDATE thin_pool SET held_time = 99')],
  ['a lost metadata snapshot', 'page-count-high', true, d => d.run('DELETE FROM thin_held')],
  ['a lost volume', 'page-leaked', true, d => d.run("DELETE FROM thin_volume WHERE name = 'a'")],
  [
    'a doomed page that is not',
    'doomed',
    true,
    d => d.run('INSERT INTO thin_doomed VALUES (?, 1)', FREE_PAGE),
  ],
  [
    'a doomed page in use',
    'doomed',
    true,
    d => d.run('INSERT INTO thin_doomed VALUES (?, 1)', d.page('b', 1).id),
  ],
  [
    'a doomed page of no height',
    'doomed',
    true,
    d => {
      d.run('INSERT INTO thin_page VALUES (?, ?)', FREE_PAGE, Buffer.alloc(PAGE_BYTES));
      d.run('INSERT INTO thin_doomed VALUES (?, 0)', FREE_PAGE);
    },
  ],
  ['a table is missing', 'tables', false, d => d.database.exec('DROP TABLE thin_doomed')],
  [
    'a column is missing',
    'tables',
    false,
    d => d.database.exec('ALTER TABLE thin_pool DROP COLUMN held_time'),
  ],
];

const IN_SQLITE: readonly Damage[] = [
  [
    'two volumes of one name',
    'volume-name',
    false,
    d => {
      d.run("UPDATE thin_volume SET name = 'twin-of-s' WHERE name = 's'");
      d.run("UPDATE thin_volume SET name = 'twin-of-b' WHERE name = 'b'");
      d.raw(file => {
        for (let at = file.indexOf('twin-of-b'); at >= 0; at = file.indexOf('twin-of-b'))
          file.write('twin-of-s', at);
        return file;
      });
    },
  ],
  [
    'the end of the file is gone',
    'database',
    false,
    d => d.raw(file => file.subarray(0, file.length - 8192)),
  ],
  ['a page of the file is gone', 'database', false, d => d.raw(file => file.fill(0x55, 8192, 12288))],
  ['the header is gone', 'database', false, d => d.raw(file => file.fill(7, 0, 100))],
];

export const DAMAGES: readonly Damage[] = [...IN_COUNTS, ...IN_PAGES, ...IN_ROWS, ...IN_SQLITE];
