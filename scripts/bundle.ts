/**
 * What a process or a thread begins with, in few files. Each file of a thread in `dist/src/` becomes one with all that it imports, since a
 * thread begins with no module: 68 files take the engine's 50 ms longer than one. `skein`, `index.js` and `api/serve.js` share what they have in common in
 * `dist/bundle/`, packages and all, without what nobody calls. All other files stay as they are, for tests and benches that import a
 * part alone; npm publishes none of them.
 */
import { globSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { type InputOptions, type Plugin, rolldown } from 'rolldown'

const shared = 'bundle'
const entries = ['src/index.js', 'src/api/serve.js', 'src/cli/main.js']
/** Node holds the whole text in memory: licences are in `dist/vendor/LICENSES.txt`. */
const written = { format: 'esm', comments: false } as const

/**
 * Reads what the compiler has made, and tells how to write the bundles over it.
 *
 * @param isApart whether a package stays beside them
 */
export async function bundle(dist: string, isApart: (specifier: string) => boolean): Promise<() => void> {
  const options = {
    cwd: dist,
    platform: 'node',
    external: isApart,
    onLog: (level, log, print) => {
      if (level === 'warn') throw new Error(log.message)
      print(level, log)
    }
  } satisfies InputOptions
  const files = new Map<string, string>()
  const threads = globSync('src/**/*worker.js', { cwd: dist })
  for (const file of threads) {
    const thread = await rolldown({ ...options, input: path.join(dist, file) })
    const { output } = await thread.generate({ ...written, codeSplitting: false })
    files.set(file, narrow(output[0].code))
    await thread.close()
  }
  const main = await rolldown({
    ...options,
    input: Object.fromEntries(entries.map(file => [file.slice(0, -'.js'.length), path.join(dist, file)])),
    plugins: [places(dist)]
  })
  const { output } = await main.generate({
    ...written,
    entryFileNames: '[name].js',
    chunkFileNames: `${shared}/[name].js`
  })
  await main.close()
  for (const each of output) if (each.type === 'chunk') files.set(each.fileName, narrow(each.code))
  return () => {
    rmSync(path.join(dist, shared), { recursive: true, force: true })
    mkdirSync(path.join(dist, shared))
    for (const [file, code] of files) {
      writeFileSync(path.join(dist, file), code)
      // It tells of lines that are not in the file any more.
      rmSync(path.join(dist, `${file}.map`), { force: true })
    }
  }
}

/** One character beyond Latin-1 would have V8 hold the text with two bytes for each. Without comments all of them are in literals. */
function narrow(code: string): string {
  return code.replaceAll(/[^\0-\xff]/g, each => `\\u${each.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** Before the place of a module in `dist/`, until it is known where that is seen from. */
const placeMark = 'skein-place/'
const placed = /skein-place\/([^'"`]+)/g

/** What a module says is beside it is beside where it was, not beside the file that it becomes a part of. */
function places(dist: string): Plugin {
  return {
    name: 'places',
    transform(code, id) {
      if (!id.startsWith(dist) || !code.includes('import.meta.url')) return undefined
      const place = path.relative(dist, id).replaceAll(path.sep, '/')
      return code.replaceAll('import.meta.url', `new URL('${placeMark}${place}', import.meta.url).href`)
    },
    // Only then is it known which file it is a part of: an entry has what no other one shares.
    renderChunk(code, { fileName }) {
      if (!code.includes(placeMark)) return undefined
      const from = path.posix.dirname(fileName)
      return code.replaceAll(placed, (_, place: string) => path.posix.relative(from, place))
    }
  }
}
