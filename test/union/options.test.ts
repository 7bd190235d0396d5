// The option parser, as tables: option strings and what they ask for, what they are refused for, and what is only noted.
import t from 'tap';
import { fromText } from '../../src/base/index.js';
import { escapePath } from '../../src/union/layerlist.js';
import { editDistance, meantWord } from '../../src/union/misspelt.js';
import { formatOptions, optionHelp, parseOptions, withAbsolutePaths } from '../../src/union/options.js';
import { OPTION_ROWS, optionRow } from '../../src/union/optiontable.js';
import { defaultConfig, OptionError, type UnionConfig } from '../../src/union/unionconfig.js';

const RW = 'lowerdir=/l,upperdir=/u,workdir=/w';

function noNotes(config: UnionConfig): Omit<UnionConfig, 'notes'> {
  const { notes: _, ...rest } = config;
  return rest;
}

t.test('layers', async t => {
  const rows: [name: string, options: string, lowers: string[], upper: string | null, work: string | null][] =
    [
      ['one lower', 'lowerdir=/a', ['/a'], null, null],
      ['three, leftmost on top', 'lowerdir=/a:/b:/c', ['/a', '/b', '/c'], null, null],
      ['upper and work', 'lowerdir=/a:b,upperdir=u,workdir=/w', ['/a', 'b'], 'u', '/w'],
      ['escaped colon', 'lowerdir=/a\\:b:/c', ['/a:b', '/c'], null, null],
      ['escaped comma', 'lowerdir=/a\\,b:/c,ro', ['/a,b', '/c'], null, null],
      ['escaped backslash before a colon', 'lowerdir=/a\\\\:/c', ['/a\\', '/c'], null, null],
      ['escaped backslash before a comma', 'lowerdir=/a\\\\,ro', ['/a\\'], null, null],
      ['escaped colon at the end', 'lowerdir=/a\\:', ['/a:'], null, null],
      ['backslash at the very end', 'lowerdir=/a\\', ['/a\\'], null, null],
      ['any escaped character', 'lowerdir=/\\x', ['/x'], null, null],
      ['spaces and equals signs', 'lowerdir=/a b:/c=d', ['/a b', '/c=d'], null, null],
      ['quotes are ordinary', 'lowerdir=/a"b,ro', ['/a"b'], null, null],
      ['escapes in upper and work', 'lowerdir=/a,upperdir=/u\\,1,workdir=/w\\:2', ['/a'], '/u,1', '/w:2'],
      ['a colon in upper is ordinary', 'lowerdir=/a,upperdir=/u:1,workdir=/w', ['/a'], '/u:1', '/w'],
      [
        'lowerdir+ keeps colons and backslashes',
        'lowerdir+=/a:b,lowerdir+=/c\\d',
        ['/a:b', '/c\\d'],
        null,
        null,
      ],
      ['lowerdir+ can hold a comma', 'lowerdir+=/a\\,b,ro', ['/a,b'], null, null],
      ['lowerdir+ after lowerdir', 'lowerdir=/a,lowerdir+=/b', ['/a', '/b'], null, null],
      ['the last lowerdir counts', 'lowerdir=/a,lowerdir=/b:/c', ['/b', '/c'], null, null],
      ['empty elements', ',,lowerdir=/a,,ro,', ['/a'], null, null],
      ['trailing comma, as podman', 'lowerdir=/a,upperdir=/u,workdir=/w,', ['/a'], '/u', '/w'],
      ['500 layers', `lowerdir=${Array(500).fill('/l').join(':')}`, Array(500).fill('/l'), null, null],
      ['work without upper', 'lowerdir=/a,workdir=/w', ['/a'], null, null],
    ];
  for (const [name, options, lowers, upper, work] of rows) {
    const config = parseOptions(options);
    t.same({ lowers: config.lowers, upper: config.upper, work: config.work }, { lowers, upper, work }, name);
    t.equal(config.readonly, upper === null || /(^|,)ro(,|$)/.test(options), `${name}: readonly`);
  }
  const long = Array.from({ length: 400 }, (_, i) => `/${'x'.repeat(250)}${i}`);
  t.same(parseOptions(`lowerdir=${long.join(':')}`).lowers, long, 'an option string of 100 kB');
  const bytes = fromText('/straße');
  t.same(parseOptions(`lowerdir=${bytes}:/\xff\xfe`).lowers, [bytes, '/\xff\xfe'], 'names are bytes');
});

t.test('what each option does', async t => {
  const rows: [options: string, expected: Partial<UnionConfig>][] = [
    ['ro', { readonly: true }],
    ['ro,rw', { readonly: false }],
    ['redirect_dir=on', { redirectDir: 'on' }],
    ['redirect_dir=off', { redirectDir: 'off' }],
    ['redirect_dir=follow', { redirectDir: 'follow' }],
    ['redirect_dir=nofollow', { redirectDir: 'nofollow' }],
    ['index=on', { index: 'on' }],
    ['index=on,index=off', { index: 'off' }],
    ['xino=on', { xino: 'on' }],
    ['userxattr', { userxattr: 'on' }],
    ['userxattr,redirect_dir=off', { userxattr: 'on', redirectDir: 'off' }],
    ['volatile', { volatile: true, fsync: 'none' }],
    ['fsync=volatile', { volatile: true, fsync: 'none' }],
    ['fsync=0', { fsync: 'none' }],
    ['fsync=0,volatile', { volatile: true, fsync: 'none' }],
    ['fsync=1', { fsync: 'auto' }],
    ['fsync=strict', { fsync: 'strict' }],
    ['size=10g', { size: 10 * 2 ** 30 }],
    ['size=4096,inodes=7', { size: 4096, inodes: 7 }],
    ['timeout=0', { timeouts: { entry: 0, attr: 0, negative: 0 } }],
    ['timeout=1.5,attr_timeout=2', { timeouts: { entry: 1.5, attr: 2, negative: 1.5 } }],
    ['entry_timeout=1e3,negative_timeout=0', { timeouts: { entry: 1000, attr: 1e9, negative: 0 } }],
    ['uidmapping=0:100000:65536', { uidMap: [{ container: 0, host: 100000, length: 65536 }] }],
    ['gidmapping=:0:100000:65536', { gidMap: [{ container: 0, host: 100000, length: 65536 }] }],
    [
      'uidmapping=0:1000:1:1:100000:65536',
      {
        uidMap: [
          { container: 0, host: 1000, length: 1 },
          { container: 1, host: 100000, length: 65536 },
        ],
      },
    ],
    ['squash_to_root', { squashUid: 0, squashGid: 0 }],
    ['squash_to_uid=1000', { squashUid: 1000, squashGid: null }],
    ['squash_to_uid=1,squash_to_gid=4294967294', { squashUid: 1, squashGid: 4294967294 }],
    ['xattr_permissions=2', { xattrPermissions: 2 }],
    ['static_nlink', { staticNlink: true }],
    ['noacl', { acl: false }],
    ['noxattrs', { xattrs: false }],
    ['passthrough=off', { passthrough: 'off' }],
    ['transport=fuse-native', { transport: 'fuse-native' }],
    ['spin=0', { spin: 0 }],
    ['debug', { debug: true }],
  ];
  const base = noNotes(parseOptions(RW));
  for (const [options, expected] of rows) {
    const config = parseOptions(`${RW},${options}`);
    t.same(noNotes(config), { ...base, ...expected }, options);
    t.same(config.notes, [], `${options} acts, so there is no note`);
  }
});

t.test('mount flags', async t => {
  const flags = [
    'nosuid',
    'nodev',
    'noexec',
    'noatime',
    'nodiratime',
    'nosymfollow',
    'sync',
    'dirsync',
  ] as const;
  for (const flag of flags) t.equal(parseOptions(`${RW},${flag}`).mount[flag], true, flag);
  const back = 'suid,dev,exec,atime,diratime,symfollow,async';
  t.same(
    parseOptions(`${RW},nosuid,nodev,noexec,noatime,nodiratime,nosymfollow,sync,${back}`),
    parseOptions(RW),
  );
  const shown = parseOptions(`${RW},fsname=a\\,b,subtype=x,allow_other`).mount;
  t.same([shown.fsname, shown.subtype, shown.allowOther], ['a,b', 'x', true]);
  const label = 'context="system_u:object_r:container_file_t:s0:c1,c2"';
  t.same(parseOptions(`${RW},${label},ro`).mount.labels, [label], 'a comma in the quotes of a context');
  t.same(parseOptions(`${RW},fscontext=a:b`, label).mount.labels, ['fscontext=a:b', label]);
});

t.test('later strings override earlier ones', async t => {
  t.same(noNotes(parseOptions('lowerdir=/l,index=on', 'upperdir=/u,workdir=/w,index=off')), {
    ...noNotes(parseOptions(RW)),
    index: 'off',
  });
});

t.test('errors name the option and the rule', async t => {
  const ids = Array(501).fill('/l').join(':');
  const rows: [options: string, option: string, rule: RegExp][] = [
    ['', 'lowerdir', /missing/],
    ['upperdir=/u,workdir=/w', 'lowerdir', /missing/],
    ['lowerdir=/l,upperdir=/u', 'workdir', /missing/],
    ['lowerdir', 'lowerdir', /needs a value/],
    ['lowerdir=', 'lowerdir', /needs a value/],
    ['lowerdir=/a:', 'lowerdir', /must not end with an unescaped ":"/],
    ['lowerdir=:/a', 'lowerdir', /must not begin/],
    ['lowerdir=/a::/b', 'lowerdir', /data-only/],
    ['lowerdir+=', 'lowerdir\\+', /needs a value/],
    ['lowerdir+=/a,lowerdir=/b', 'lowerdir', /must not follow/],
    [`lowerdir=${ids}`, 'lowerdir', /too many lower directories, limit is 500/],
    ['lowerdir=/a\0b', 'lowerdir', /NUL/],
    [`${RW},=x`, '=x', /without an option/],
    [`${RW},upperdir=`, 'upperdir', /needs a value/],
    [`${RW},datadir+=/d`, 'datadir\\+', /not supported/],
    [`${RW},ro=1`, 'ro', /takes no value/],
    [`${RW},index`, 'index', /needs a value: index=auto\|on\|off/],
    [`${RW},index=yes`, 'index', /must be one of auto, on, off, not "yes"/],
    [`${RW},redirect_dir=maybe`, 'redirect_dir', /must be one of/],
    [`${RW},xino=`, 'xino', /needs a value/],
    [`${RW},metacopy=maybe`, 'metacopy', /must be one of/],
    [`${RW},metacopy`, 'metacopy', /needs a value/],
    [`${RW},verity=on`, 'verity', /refused/],
    [`${RW},verity=require`, 'verity', /refused/],
    [`${RW},nfs_export=on`, 'nfs_export', /NFS/],
    [`${RW},plugins=/a.so`, 'plugins', /not supported/],
    [`${RW},nooverride_creds`, 'nooverride_creds', /as the user who mounts/],
    [`${RW},remount,ro`, 'remount', /cannot be changed/],
    [`${RW},uid=3`, 'uid', /squash_to_uid/],
    [`${RW},userxattr,metacopy=on`, 'metacopy', /exclude/],
    [`${RW},redirect_dir=off,metacopy=on`, 'metacopy', /redirect_dir=off exclude/],
    [`${RW},timeout=-1`, 'timeout', /number of seconds/],
    [`${RW},timeout=soon`, 'timeout', /number of seconds/],
    [`${RW},timeout=1e99`, 'timeout', /number of seconds/],
    [`${RW},spin=1e9`, 'spin', /whole number from 0 to 10000/],
    [`${RW},xattr_permissions=3`, 'xattr_permissions', /must be one of 0, 1, 2/],
    [`${RW},squash_to_uid=4294967295`, 'squash_to_uid', /whole number/],
    [`${RW},squash_to_uid=root`, 'squash_to_uid', /whole number/],
    [`${RW},uidmapping=0:1`, 'uidmapping', /triples/],
    [`${RW},uidmapping=0:1:0`, 'uidmapping', /must not be 0/],
    [`${RW},uidmapping=0:4294967290:10`, 'uidmapping', /must not exceed/],
    [`${RW},uidmapping=0:1:10:5:100:10`, 'uidmapping', /overlap/],
    [`${RW},gidmapping=0:1:10:50:5:10`, 'gidmapping', /overlap/],
    [`${RW},gidmapping=0:x:10`, 'gidmapping', /whole number/],
  ];
  for (const [options, option, rule] of rows) {
    t.throws(
      () => parseOptions(options),
      { name: 'OptionError', message: rule },
      JSON.stringify(options.slice(0, 60)),
    );
    t.throws(() => parseOptions(options), { message: new RegExp(`^${option}: `) }, `names ${option}`);
  }
});

t.test('a misspelt option is an error with a suggestion', async t => {
  const rows: [word: string, meant: string][] = [
    ['lowerdri=/x', 'lowerdir'],
    ['lowerdirs=/x', 'lowerdir'],
    ['LowerDir=/x', 'lowerdir'],
    ['lower=/x', 'lowerdir'],
    ['uperdir=/x', 'upperdir'],
    ['upper_dir=/x', 'upperdir'],
    ['workdri=/x', 'workdir'],
    ['wrokdir=/x', 'workdir'],
    ['redirect-dir=on', 'redirect_dir'],
    ['redirectdir=on', 'redirect_dir'],
    ['redirect=on', 'redirect_dir'],
    ['indx=on', 'index'],
    ['userxatr', 'userxattr'],
    ['volatil', 'volatile'],
    ['volitile', 'volatile'],
    ['uidmaping=0:0:1', 'uidmapping'],
    ['noxattr', 'noxattrs'],
    ['squash_to_rot', 'squash_to_root'],
    ['pasthrough=off', 'passthrough'],
    ['nosudi', 'nosuid'],
  ];
  for (const [word, meant] of rows) {
    const name = word.split('=')[0]!;
    t.throws(
      () => parseOptions(`${RW},${word}`),
      { option: name, message: new RegExp(`did you mean ${meant}\\?`) },
      word,
    );
  }
  t.throws(() => parseOptions(`${RW},lowerdri=/x`), OptionError);
});

t.test('what does nothing is accepted with a note', async t => {
  const rows: [options: string, note: RegExp][] = [
    ['uuid=on', /^uuid: /],
    ['override_creds', /^override_creds: /],
    ['threaded=0', /^threaded: /],
    ['writeback=1', /^writeback: /],
    ['fast_ino=1', /^fast_ino: /],
    ['allow_root', /^allow_root: /],
    ['max_read=131072', /^max_read: /],
    ['noauto', /^noauto: is for mount/],
    ['user', /^user: /],
    ['_netdev', /^_netdev: /],
    ['relatime', /^relatime: /],
    ['x-systemd.automount', /^x-systemd.automount: is for other programs/],
    ['x-gvfs-show=1', /^x-gvfs-show: /],
    ['frobnicate', /^frobnicate: unknown option, ignored/],
    ['huge=always', /^huge: unknown option, ignored/],
    ['inode32', /^inode32: /],
    ['lowerdir=/l', /given more than once/],
    ['userxattr,redirect_dir=on', /^redirect_dir: kernel overlayfs does not follow/],
  ];
  const base = noNotes(parseOptions(RW));
  for (const [options, note] of rows) {
    const config = parseOptions(`${RW},${options}`);
    t.equal(config.notes.length, 1, options);
    t.match(config.notes[0], note, options);
    if (!options.startsWith('userxattr')) t.same(noNotes(config), base, `${options} changes nothing`);
  }
  for (const silent of [
    'metacopy=off',
    'verity=off',
    'nfs_export=off',
    'uuid=auto',
    'uuid=null',
    'rw',
    'default_permissions',
  ])
    t.same(parseOptions(`${RW},${silent}`), parseOptions(RW), `${silent} is what happens anyway`);
  t.match(parseOptions('lowerdir=/a,workdir=/w').notes, [/^workdir: useless/]);
  const noUpper = parseOptions('lowerdir=/a,volatile');
  t.match(noUpper.notes, [/^volatile: useless/]);
  t.notOk(noUpper.volatile);
});

t.test('real option strings', async t => {
  const podman = `lowerdir=/g/l/AAA:/g/l/BBB,upperdir=/g/1/diff,workdir=/g/1/work,,volatile,uidmapping=:0:100000:65536,gidmapping=:0:100000:65536,xattr_permissions=2,context="system_u:object_r:container_file_t:s0:c1,c2"`;
  const config = parseOptions(podman);
  t.same(config.lowers, ['/g/l/AAA', '/g/l/BBB']);
  t.same(config.notes, []);
  t.same([config.volatile, config.xattrPermissions, config.mount.labels.length], [true, 2, 1]);
  t.same(parseOptions('rw,lowerdir=/l,dev,suid').notes, [], 'mount -t fuse.lamina adds rw, dev and suid');
});

t.test('table, help and words', async t => {
  const names = OPTION_ROWS.map(row => row.name);
  t.equal(new Set(names).size, names.length, 'no option has two rows');
  for (const name of names) t.equal(optionRow(name)?.name, name, name);
  for (const line of optionHelp())
    t.ok(line.help.length < 110 && !line.help.endsWith('.'), `help of ${line.usage} is one line`);
  t.equal(meantWord('lowerdri', ['upperdir', 'lowerdir']), 'lowerdir', 'the nearest word');
  t.equal(meantWord('x', ['ro', 'rw']), null, 'short words are no misspellings');
  t.same([editDistance('ab', 'ba'), editDistance('', 'abc'), editDistance('kitten', 'sitting')], [1, 3, 3]);
});

t.test('formatting is the inverse of parsing', async t => {
  const text = formatOptions({
    lowerdir: ['/a:b', '/c,d\\'],
    upperdir: '/u,1',
    workdir: '/w\\:',
    ro: true,
    noacl: false,
    spin: 3,
  });
  const config = parseOptions(text);
  t.same(config.lowers, ['/a:b', '/c,d\\']);
  t.same(
    [config.upper, config.work, config.readonly, config.acl, config.spin],
    ['/u,1', '/w\\:', true, true, 3],
  );
  for (const path of ['a', '\\', ':', ',', '\\:', 'a b', '\xff']) {
    t.same(parseOptions(`lowerdir=${escapePath(path)}:x`).lowers, [path, 'x'], JSON.stringify(path));
  }
});

t.test('paths are made absolute without being resolved', async t => {
  const config = withAbsolutePaths(parseOptions('lowerdir=a:/b:../c,upperdir=u,workdir=/w'), '/cwd/x');
  t.same(config.lowers, ['/cwd/x/a', '/b', '/cwd/x/../c']);
  t.same([config.upper, config.work], ['/cwd/x/u', '/w']);
  t.equal(withAbsolutePaths(parseOptions('lowerdir=a'), '/').lowers[0], '/a');
  t.equal(withAbsolutePaths(parseOptions('lowerdir=a'), '/').upper, null);
  t.same(defaultConfig().lowers, [], 'the default has no layers');
});
