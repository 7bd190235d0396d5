// A listing that follows another reply in the same batch begins on a word, not on a multiple of eight: its entries are
// aligned to its own start all the same (fs/fuse/readdir.c: FUSE_DIRENT_SIZE).
import t from 'tap';
import { DirWriter } from '../../src/fuse/dirwriter.js';
import { Validity } from '../../src/fuse/encode.js';
import { NodeTable } from '../../src/fuse/nodes.js';
import { Reply } from '../../src/fuse/reply.js';

const NAMES = ['.', '..', 'a', 'seventh', 'exactly8', 'a longer name than that'];

t.test('entries are aligned to the start of the listing', async t => {
  for (const before of [0, 4, 8, 12]) {
    const sent: Buffer[] = [];
    const reply = new Reply((buffer, ends, count) => {
      sent.push(Buffer.from(buffer.subarray(count > 1 ? ends[count - 2] : 0, ends[count - 1])));
    });
    reply.finish(1, 0, before);
    const writer = new DirWriter(new NodeTable({}), new Validity({ entry: 1, attr: 1, negative: 0 }));
    writer.begin(reply, 4096, false);
    NAMES.forEach((name, i) => void writer.entry(name, i + 1, 4, i + 1));
    reply.finish(2, 0, writer.length);
    reply.flush();
    const body = sent.at(-1)!.subarray(16);
    const found: string[] = [];
    for (let at = 0; at < body.length; ) {
      const length = body.readUInt32LE(at + 16);
      found.push(body.toString('latin1', at + 24, at + 24 + length));
      at += (24 + length + 7) & ~7;
    }
    t.same(found, NAMES, `after a reply of ${before} bytes`);
  }
});
