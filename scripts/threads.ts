/**
 * Makes each thread's file in `dist/src/` one file, with all that it imports: the last step of `npm run build`. A thread begins with no
 * module, so that whatever it imports is read again with each start: 68 files take the engine's thread 50 ms longer than one.
 */
import { globSync, rmSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'

const root = fileURLToPath(new URL('..', import.meta.url))
for (const file of globSync('dist/src/**/*worker.js', { cwd: root })) {
  const bundle = await rolldown({
    cwd: root,
    platform: 'node',
    input: file,
    // Packages lie in `dist/vendor/` by now, but for those with native code.
    external: id => !/^[./]/.test(id),
    onLog: (level, log, print) => {
      if (level === 'warn') throw new Error(log.message)
      print(level, log)
    }
  })
  await bundle.write({ file: path.join(root, file), format: 'esm', codeSplitting: false })
  await bundle.close()
  // It tells of lines that are not in the file any more.
  rmSync(path.join(root, `${file}.map`), { force: true })
}
