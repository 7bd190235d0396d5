// The handshake: the bytes of every option and answer as the protocol's text has them, and what is answered to wrong ones.
import t from 'tap';
import { u32, writeOption } from '../../src/nbd/layout.js';
import { CAN, INFO, OPTION, REPLY } from '../../src/nbd/protocol.js';
import { bufferDevice } from '../support/block-devices.js';
import { type Client, infoData, metaData } from './client.js';
import { serve } from './fixture.js';

const MIB = 1024 * 1024;
const hex = (text: string): Buffer => Buffer.from(text.replace(/\s/g, ''), 'hex');
const devices = {
  disk: bufferDevice(MIB),
  frozen: bufferDevice(2 * MIB, { readOnly: true }),
};

const IHAVEOPT = '49484156 454f5054';
const REPLIES = '0003e889 045565a9';
const NAME_DISK = '00000004 6469736b';
/** HAS_FLAGS, FLUSH, FUA, TRIM, WRITE_ZEROES, MULTI_CONN, CACHE, FAST_ZERO. */
const FLAGS = '0d6d';
const INFO_EXPORT = `0000 00000000 00100000 ${FLAGS}`;

t.test('greeting', async t => {
  const client = await (await serve(t, devices)).connect();
  t.same(await client.take(18), hex(`4e42444d 41474943 ${IHAVEOPT} 0003`));
});

/** What the client sends after its flags, and what comes back, to the byte. */
const GOLDEN: readonly { name: string; sent: string; answer: string }[] = [
  {
    name: 'LIST',
    sent: `${IHAVEOPT} 00000003 00000000`,
    answer: `${REPLIES} 00000003 00000002 00000010 ${NAME_DISK} 746865206469736b
      ${REPLIES} 00000003 00000002 00000014 00000006 66726f7a656e 7468652066726f7a656e
      ${REPLIES} 00000003 00000001 00000000`,
  },
  {
    name: 'INFO with name, description and block size',
    sent: `${IHAVEOPT} 00000006 00000010 ${NAME_DISK} 0003 0001 0002 0003`,
    answer: `${REPLIES} 00000006 00000003 0000000c ${INFO_EXPORT}
      ${REPLIES} 00000006 00000003 00000006 0001 6469736b
      ${REPLIES} 00000006 00000003 0000000a 0002 746865206469736b
      ${REPLIES} 00000006 00000003 0000000e 0003 00000001 00001000 02000000
      ${REPLIES} 00000006 00000001 00000000`,
  },
  {
    name: 'INFO of the default export names it',
    sent: `${IHAVEOPT} 00000006 00000008 00000000 0001 0001`,
    answer: `${REPLIES} 00000006 00000003 0000000c ${INFO_EXPORT}
      ${REPLIES} 00000006 00000003 00000006 0001 6469736b
      ${REPLIES} 00000006 00000001 00000000`,
  },
  {
    name: 'GO without questions',
    sent: `${IHAVEOPT} 00000007 0000000a ${NAME_DISK} 0000`,
    answer: `${REPLIES} 00000007 00000003 0000000c ${INFO_EXPORT} ${REPLIES} 00000007 00000001 00000000`,
  },
  {
    name: 'GO of a read-only export after STRUCTURED_REPLY: no TRIM and no WRITE_ZEROES, but DF',
    sent: `${IHAVEOPT} 00000008 00000000 ${IHAVEOPT} 00000007 0000000c 00000006 66726f7a656e 0000`,
    answer: `${REPLIES} 00000008 00000001 00000000
      ${REPLIES} 00000007 00000003 0000000c 0000 00000000 00200000 058f ${REPLIES} 00000007 00000001 00000000`,
  },
  {
    name: 'EXPORT_NAME',
    sent: `${IHAVEOPT} 00000001 00000004 6469736b`,
    answer: `00000000 00100000 ${FLAGS}`,
  },
  {
    name: 'contexts, listed and set',
    sent: `${IHAVEOPT} 00000008 00000000
      ${IHAVEOPT} 00000009 0000000c ${NAME_DISK} 00000000
      ${IHAVEOPT} 0000000a 0000001f ${NAME_DISK} 00000001 0000000f 626173653a616c6c6f636174696f6e`,
    answer: `${REPLIES} 00000008 00000001 00000000
      ${REPLIES} 00000009 00000004 00000013 00000000 626173653a616c6c6f636174696f6e
      ${REPLIES} 00000009 00000001 00000000
      ${REPLIES} 0000000a 00000004 00000013 00000001 626173653a616c6c6f636174696f6e
      ${REPLIES} 0000000a 00000001 00000000`,
  },
];

for (const { name, sent, answer } of GOLDEN) {
  t.test(`golden: ${name}`, async t => {
    const client = await (await serve(t, devices)).connect();
    await client.greet();
    client.send(hex(sent));
    const expected = hex(answer);
    t.same((await client.take(expected.length)).toString('hex'), expected.toString('hex'));
  });
}

t.test(
  'EXPORT_NAME without NO_ZEROES has 124 zero bytes behind it, and then requests are answered',
  async t => {
    for (const flags of [0, 1]) {
      const client = await (await serve(t, devices)).connect();
      await client.greet(flags);
      client.send(writeOption(OPTION.EXPORT_NAME, Buffer.from('disk')));
      t.same(await client.take(134), Buffer.concat([hex(`00000000 00100000 ${FLAGS}`), Buffer.alloc(124)]));
      t.equal((await client.command({ type: 3 })).error, 0);
    }
  },
);

t.test('ABORT is acknowledged and ends the connection', async t => {
  const client = await (await serve(t, devices)).connect();
  await client.greet();
  client.send(writeOption(OPTION.ABORT, Buffer.alloc(0)));
  t.same(await client.rest(), hex(`${REPLIES} 00000002 00000001 00000000`));
});

const structured = (client: Client) => client.option(OPTION.STRUCTURED_REPLY);
const huge = Buffer.concat([u32(0xffffffff), Buffer.from('disk')]);

/** An option that cannot be granted: the error, after which the handshake goes on. */
const REFUSED: readonly { name: string; option: number; data?: Buffer; error: number; bare?: true }[] = [
  { name: 'unknown option', option: 4711, error: REPLY.ERR_UNSUP },
  { name: 'EXTENDED_HEADERS', option: 11, error: REPLY.ERR_UNSUP },
  { name: 'STARTTLS', option: OPTION.STARTTLS, error: REPLY.ERR_POLICY },
  { name: 'LIST with data', option: OPTION.LIST, data: Buffer.alloc(1), error: REPLY.ERR_INVALID },
  {
    name: 'STRUCTURED_REPLY with data',
    option: OPTION.STRUCTURED_REPLY,
    data: Buffer.alloc(4),
    error: REPLY.ERR_INVALID,
  },
  { name: 'GO of an unknown name', option: OPTION.GO, data: infoData('none', []), error: REPLY.ERR_UNKNOWN },
  {
    name: 'INFO of an unknown name',
    option: OPTION.INFO,
    data: infoData('x', [3]),
    error: REPLY.ERR_UNKNOWN,
  },
  { name: 'GO without data', option: OPTION.GO, error: REPLY.ERR_INVALID },
  { name: 'GO with a name longer than it', option: OPTION.GO, data: huge, error: REPLY.ERR_INVALID },
  {
    name: 'GO with fewer questions than it says',
    option: OPTION.GO,
    data: infoData('disk', [1, 2]).subarray(0, -1),
    error: REPLY.ERR_INVALID,
  },
  {
    name: 'GO with bytes behind its questions',
    option: OPTION.GO,
    data: Buffer.concat([infoData('disk', []), Buffer.alloc(1)]),
    error: REPLY.ERR_INVALID,
  },
  {
    name: 'GO with a name of more than 4096 bytes',
    option: OPTION.GO,
    data: infoData('n'.repeat(5000), []),
    error: REPLY.ERR_INVALID,
  },
  { name: 'too much data', option: OPTION.GO, data: Buffer.alloc(3 * MIB), error: REPLY.ERR_TOO_BIG },
  {
    name: 'SET_META_CONTEXT of an unknown name',
    option: OPTION.SET_META_CONTEXT,
    data: metaData('none', ['base:allocation']),
    error: REPLY.ERR_UNKNOWN,
  },
  {
    name: 'SET_META_CONTEXT with fewer queries than it says',
    option: OPTION.SET_META_CONTEXT,
    data: metaData('disk', ['base:allocation']).subarray(0, -4),
    error: REPLY.ERR_INVALID,
  },
  {
    name: 'SET_META_CONTEXT with 2^32 - 1 queries',
    option: OPTION.SET_META_CONTEXT,
    data: Buffer.concat([infoData('disk', []).subarray(0, 8), u32(0xffffffff)]),
    error: REPLY.ERR_INVALID,
  },
  {
    name: 'SET_META_CONTEXT without structured replies',
    option: OPTION.SET_META_CONTEXT,
    data: metaData('disk', ['base:allocation']),
    error: REPLY.ERR_INVALID,
    bare: true,
  },
];

for (const { name, option, data, error, bare } of REFUSED) {
  t.test(`refused: ${name}`, async t => {
    const client = await (await serve(t, devices)).connect();
    await client.greet();
    if (bare === undefined) await structured(client);
    const replies = await client.option(option, data);
    t.same(
      replies.map(each => each.type),
      [error],
    );
    t.ok(replies[0]!.data.length > 0 && replies[0]!.data.length <= 4096, 'says why');
    t.equal((await client.option(OPTION.LIST)).at(-1)!.type, REPLY.ACK, 'the handshake goes on');
  });
}

/** What leaves the server nothing but to hang up, whatever came before. */
const HANGS_UP: readonly { name: string; flags?: number; sent: Buffer }[] = [
  { name: 'unknown client flags', flags: 0x80000003, sent: Buffer.alloc(0) },
  { name: 'no option', sent: Buffer.from('GET / HTTP/1.1\r\n\r\n') },
  { name: 'EXPORT_NAME of an unknown name', sent: writeOption(OPTION.EXPORT_NAME, Buffer.from('none')) },
  { name: 'EXPORT_NAME too long', sent: writeOption(OPTION.EXPORT_NAME, Buffer.alloc(40000)) },
  { name: 'LIST without fixed newstyle', flags: 0, sent: writeOption(OPTION.LIST, Buffer.alloc(0)) },
];

for (const { name, flags, sent } of HANGS_UP) {
  t.test(`hangs up: ${name}`, async t => {
    const served = await serve(t, devices);
    const client = await served.connect();
    await client.greet(flags);
    client.send(sent);
    t.equal((await client.rest()).length, 0);
    t.ok(await served.enter('disk'), 'others are served');
  });
}

t.test('contexts: which are known, and what they are good for', async t => {
  const served = await serve(t, devices);
  const contexts = async (option: number, queries: string[]): Promise<string[]> => {
    const client = await served.connect();
    await client.greet();
    await structured(client);
    const replies = await client.option(option, metaData('disk', queries));
    return replies
      .filter(each => each.type === REPLY.META_CONTEXT)
      .map(each => each.data.toString('utf8', 4));
  };
  const all = ['base:allocation'];
  t.same(await contexts(OPTION.LIST_META_CONTEXT, []), all);
  t.same(await contexts(OPTION.LIST_META_CONTEXT, ['base:']), all);
  t.same(await contexts(OPTION.LIST_META_CONTEXT, ['qemu:', 'other:x']), []);
  t.same(await contexts(OPTION.SET_META_CONTEXT, []), []);
  t.same(await contexts(OPTION.SET_META_CONTEXT, ['base:']), []);
  t.same(await contexts(OPTION.SET_META_CONTEXT, ['qemu:x', 'base:allocation', 'base:allocation']), all);
});

t.test('a context holds for the name it was set for, until it is set again', async t => {
  const served = await serve(t, devices);
  const status = async (set: [string, string[]][], go: string): Promise<number> => {
    const client = await served.connect();
    await client.greet();
    await structured(client);
    for (const [name, queries] of set) await client.option(OPTION.SET_META_CONTEXT, metaData(name, queries));
    await client.option(OPTION.GO, infoData(go, []));
    return (await client.structured({ type: 7, length: 4096 })).error;
  };
  t.equal(await status([['disk', ['base:allocation']]], 'disk'), 0);
  t.equal(await status([['frozen', ['base:allocation']]], 'disk'), 22);
  t.equal(
    await status(
      [
        ['disk', ['base:allocation']],
        ['disk', []],
      ],
      'disk',
    ),
    22,
  );
});

t.test('what an export offers', async t => {
  const served = await serve(t, devices);
  const flagsOf = async (name: string, entry?: { structured: boolean }): Promise<number> =>
    (await (await served.connect()).enter(name, entry)).flags;
  t.equal((await flagsOf('disk')) & CAN.DF, 0);
  t.equal((await flagsOf('disk', { structured: true })) & CAN.DF, CAN.DF);
  t.equal((await flagsOf('frozen')) & (CAN.READ_ONLY | CAN.TRIM | CAN.WRITE_ZEROES), CAN.READ_ONLY);
});

t.test('INFO leaves the device closed, GO opens it until the end', async t => {
  const served = await serve(t, devices);
  const client = await served.connect();
  await client.greet();
  await client.option(OPTION.INFO, infoData('disk', [INFO.BLOCK_SIZE]));
  t.equal(served.open(), 0);
  await client.option(OPTION.GO, infoData('disk', []));
  t.equal(served.open(), 1);
  await client.disconnect();
  t.equal(served.open(), 0);
});
