// Operations that move a volume's content: as a stream of laminafs, and as an image. Files are named by absolute paths and are
// read and written by the process that has the pool; streams go through the caller.
import { estimateSend, exportVolume, importVolume, receiveVolume, sendVolume } from '../thin/index.js';
import { abortable, type Fields, operation } from './control-operation.js';
import { checkElsewhere } from './control-paths.js';

const FORMATS = ['raw', 'vhd'] as const;

const named = (fields: Fields) => ({ name: fields.text('name') });

const image = (fields: Fields) => ({
  ...named(fields),
  path: fields.text('path'),
  format: fields.oneOf('format', FORMATS),
});

export const TRANSFER_OPERATIONS = {
  'volume.send': operation(
    fields => ({ ...named(fields), ...fields.optionalText('from') }),
    (pool, { name, from }, io) =>
      sendVolume(pool, name, {
        ...(from === undefined ? {} : { from }),
        output: bytes => io.output(bytes),
        progress: abortable(io),
      }),
    { lasting: true, reclaims: true },
  ),
  'volume.estimate': operation(
    fields => ({ ...named(fields), ...fields.optionalText('from') }),
    (pool, { name, from }) => estimateSend(pool, name, from === undefined ? {} : { from }),
    { lasting: true },
  ),
  'volume.receive': operation(
    fields => ({ ...named(fields), ...fields.optionalText('base') }),
    (pool, { name, base }, io) =>
      receiveVolume(pool, name, {
        ...(base === undefined ? {} : { base }),
        input: io.input,
        progress: abortable(io),
      }),
    { lasting: true, reclaims: true, input: true },
  ),
  'volume.export': operation(
    image,
    async (pool, { name, path, format }, io) => {
      await checkElsewhere(pool, path);
      await exportVolume(pool, name, path, { format, progress: abortable(io) });
    },
    { lasting: true, reclaims: true },
  ),
  'volume.exportStream': operation(
    fields => ({ ...named(fields), format: fields.oneOf('format', FORMATS) }),
    (pool, { name, format }, io) =>
      exportVolume(pool, name, bytes => io.output(bytes), { format, progress: abortable(io) }),
    { lasting: true, reclaims: true },
  ),
  'volume.import': operation(
    fields => ({ ...image(fields), ...fields.optionalNumber('size'), readOnly: fields.flag('readOnly') }),
    async (pool, { name, path, format, size, readOnly }, io) => {
      await checkElsewhere(pool, path);
      const options = { format, readOnly, progress: abortable(io), ...(size === undefined ? {} : { size }) };
      return importVolume(pool, name, path, options);
    },
    { lasting: true, reclaims: true },
  ),
  'volume.importStream': operation(
    fields => ({ ...named(fields), size: fields.number('size'), readOnly: fields.flag('readOnly') }),
    (pool, { name, size, readOnly }, io) =>
      importVolume(pool, name, io.input, { format: 'raw', size, readOnly, progress: abortable(io) }),
    { lasting: true, reclaims: true, input: true },
  ),
};
