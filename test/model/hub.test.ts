import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { importModel } from '../../src/model/import.ts'
import { fetchFromHub, type HubInit, type HubModel, type HubProgress } from '../../src/model/import-hub.ts'
import { openStore } from '../../src/model/store.ts'
import { writeTiny } from './hugging-face.ts'
import { commit, HubServer } from './hub-server.ts'
import { scratchFolders } from '../scratch.ts'

const token = 'hf_secret'

let server: HubServer
let dir: string
let source: string
let target: string

const folder = scratchFolders()
beforeEach(async () => {
  dir = await folder()
  source = path.join(dir, 'source')
  target = path.join(dir, 'target')
  await writeTiny(source, { files: 2 })
  server = await HubServer.start(source)
})
afterEach(async () => {
  await server.close()
})

function fetchTiny(init: Partial<HubInit> = {}): Promise<HubModel> {
  return fetchFromHub({
    repo: 'someone/tiny',
    endpoint: server.address,
    dir: target,
    signal: AbortSignal.timeout(20_000),
    stallTimeoutMs: 300,
    retryDelayMs: 1,
    ...init
  })
}

/** As the hub gives it of a small file. */
async function etagOf(name: string): Promise<string> {
  const { headers } = await fetch(`${server.address}/someone/tiny/resolve/main/${name}`, { method: 'HEAD' })
  return headers.get('etag')!.replaceAll('"', '')
}

/** Breaks the first answer to a GET of `name` off after `bytes` bytes of its body. */
function breakOff(name: string, bytes: number): void {
  let broken = false
  server.intercept = (_host, request, response) => {
    if (broken || request.method !== 'GET' || !request.url!.endsWith(name) || response.req.headers.host === undefined) {
      return false
    }
    if (request.headers.host === server.address.slice(7) && name.endsWith('.safetensors')) return false
    broken = true
    void readFile(path.join(source, name)).then(body => {
      response.writeHead(200, { 'content-length': String(body.length) })
      response.write(body.subarray(0, bytes), () => setTimeout(() => response.destroy(), 20))
    })
    return true
  }
}

const first = 'model-00001-of-00002.safetensors'

test('brings a model that can be imported, and pins the branch to its commit', async () => {
  const { revision, files } = await fetchTiny({ token })
  expect(revision).toBe(commit)
  expect(files).toEqual([
    'config.json',
    'tokenizer.json',
    'tokenizer_config.json',
    'generation_config.json',
    'model.safetensors.index.json',
    first,
    'model-00002-of-00002.safetensors'
  ])
  expect(server.asked[0]!.url).toBe('/someone/tiny/resolve/main/config.json')
  expect(
    server.asked.slice(1).every(({ host, url }) => host === 'storage' || url.includes(`/resolve/${commit}/`))
  ).toBe(true)
  const store = await openStore({ own: path.join(dir, 'store') })
  const signal = AbortSignal.timeout(20_000)
  const fetched = await importModel({ source: target, store, name: 'tiny', weights: 'q8', origin: 'x', signal })
  const direct = await importModel({ source, store, name: 'tiny', weights: 'q8', origin: 'x', signal })
  expect(fetched.id).toBe(direct.id)
})

test('sends the token to the hub only', async () => {
  await fetchTiny({ token })
  expect(server.asked.filter(({ host }) => host === 'storage').length).toBeGreaterThan(0)
  for (const { host, authorization } of server.asked) {
    expect(authorization).toBe(host === 'hub' ? `Bearer ${token}` : undefined)
  }
})

test('continues where it broke off, within one call', async () => {
  breakOff(first, 1000)
  await fetchTiny()
  expect(
    server.asked.filter(({ host, url }) => host === 'storage' && url.endsWith(first)).map(({ range }) => range)
  ).toEqual([undefined, undefined, 'bytes=1000-'])
  expect(await readFile(path.join(target, first))).toEqual(await readFile(path.join(source, first)))
})

test('continues after it was aborted, and fetches nothing twice', async () => {
  const abort = new AbortController()
  server.intercept = (host, request, response) => {
    if (host !== 'storage' || request.method !== 'GET') return false
    void readFile(path.join(source, first)).then(body => {
      response.writeHead(200, { 'content-length': String(body.length) })
      response.write(body.subarray(0, 500), () => setTimeout(() => abort.abort(new Error('enough')), 50))
    })
    return true
  }
  await expect(fetchTiny({ signal: abort.signal, stallTimeoutMs: 5000 })).rejects.toThrow('enough')
  expect(await readdir(target)).not.toContain(first)
  server.intercept = () => false
  server.asked = []
  await fetchTiny()
  const got = server.asked.filter(
    ({ method, host, url }) => method === 'GET' && (host === 'storage' || !url.endsWith('.safetensors'))
  )
  expect(got.map(({ url, range }) => [path.basename(url), range])).toEqual([
    [first, 'bytes=500-'],
    ['model-00002-of-00002.safetensors', undefined]
  ])
})

test('starts anew when the file has changed meanwhile', async () => {
  await fetchTiny()
  await writeTiny(source, { files: 2, seed: 9 })
  await fetchTiny()
  expect(await readFile(path.join(target, first))).toEqual(await readFile(path.join(source, first)))
})

describe('says', () => {
  test('that the hub cannot be reached', async () => {
    const endpoint = server.address
    await server.stopHub()
    await expect(fetchTiny({ endpoint })).rejects.toMatchObject({ name: 'DownloadError', exitCode: 4 })
    await expect(fetchTiny({ endpoint })).rejects.toThrow(
      `cannot fetch config.json of someone/tiny from ${endpoint}: ECONNREFUSED`
    )
    await server.startHub()
  })

  test('that at once, and after a break not before it has tried again', async () => {
    const endpoint = server.address
    await server.stopHub()
    // Were it tried again, the pause before that would outlast the deadline.
    const offline = fetchTiny({ endpoint, retryDelayMs: 60_000 })
    await expect(offline).rejects.toThrow('ECONNREFUSED; nobody answers there, or this machine is offline')
    await server.startHub()
    server.intercept = (_host, { method }, response) => {
      if (method !== 'GET') return false
      void server.stopHub()
      response.destroy()
      return true
    }
    await expect(fetchTiny()).rejects.toThrow('what has arrived is kept')
    await server.startHub()
  })

  test('that nothing comes, after the deadline', async () => {
    server.intercept = () => true
    await expect(fetchTiny({ stallTimeoutMs: 30 })).rejects.toThrow('no answer within 30 ms')
    server.intercept = (host, request, response) => {
      if (host !== 'storage' || request.method !== 'GET') return false
      response.writeHead(200, { 'content-length': '100000' }).write('x')
      return true
    }
    await expect(fetchTiny({ stallTimeoutMs: 30 })).rejects.toThrow('nothing came for 30 ms')
  })

  test('what is missing, refused or too long', async () => {
    server.intercept = (_host, { url }, response) => {
      if (!url!.endsWith('tokenizer.json')) return false
      response.writeHead(404).end()
      return true
    }
    await expect(fetchTiny()).rejects.toThrow(
      `${server.address} has no tokenizer.json in someone/tiny at revision ${commit}`
    )
    server.intercept = (_host, _request, response) => {
      response.writeHead(401).end()
      return true
    }
    await expect(fetchTiny()).rejects.toThrow('the hub refuses config.json of someone/tiny (401)')
    await expect(fetchTiny({ token })).rejects.toThrow('needs another token')
    server.intercept = (_host, _request, response) => {
      response.writeHead(200, { 'content-length': String(1 << 30) }).end()
      return true
    }
    await expect(fetchTiny()).rejects.toThrow('config.json of someone/tiny has 1073741824 bytes, more than 16777216')
    server.intercept = (_host, { url }, response) => {
      response.writeHead(302, { location: url! }).end()
      return true
    }
    await expect(fetchTiny()).rejects.toThrow('redirects config.json of someone/tiny more than 5 times')
  })

  test('that what arrived is damaged, and forgets it', async () => {
    server.intercept = (host, request, response) => {
      if (host !== 'storage' || request.method !== 'GET') return false
      void readFile(path.join(source, first)).then(body => {
        body[body.length - 1]! ^= 1
        response.writeHead(200, { 'content-length': String(body.length) }).end(body)
      })
      return true
    }
    await expect(fetchTiny()).rejects.toThrow(`${first} of someone/tiny arrived damaged`)
    server.intercept = () => false
    await fetchTiny()
  })

  test('which option is wrong, and never the token', async () => {
    await expect(fetchTiny({ repo: '../../etc' })).rejects.toThrow("a hub's repository is owner/name")
    await expect(fetchTiny({ revision: '../x' })).rejects.toThrow("a hub's revision is")
    await expect(fetchTiny({ endpoint: 'ftp://x' })).rejects.toThrow('must be http or https')
    const secret = await fetchTiny({ endpoint: `http://me:${token}@127.0.0.1` }).catch((err: unknown) => err)
    expect(secret).toMatchObject({ name: 'InvalidOptionError' })
    expect(String((secret as Error).stack)).not.toContain(token)
    const error = await fetchTiny({ token: `${token}\n` }).catch((err: unknown) => err)
    expect(error).toMatchObject({ name: 'InvalidOptionError' })
    expect(String((error as Error).stack)).not.toContain(token)
  })

  test('why the hub refuses, where it gives a reason', async () => {
    const refuse = (status: number, code: string): void => {
      server.intercept = (_host, _request, response) => {
        response.writeHead(status, { 'x-error-code': code }).end()
        return true
      }
    }
    refuse(403, 'GatedRepo')
    await expect(fetchTiny({ token })).rejects.toThrow(
      `someone/tiny is gated (403): accept its terms on ${server.address}/someone/tiny, and give another token`
    )
    refuse(404, 'RevisionNotFound')
    await expect(fetchTiny({ revision: 'v9' })).rejects.toThrow(`${server.address} has no revision v9 of someone/tiny`)
    refuse(404, 'RepoNotFound')
    await expect(fetchTiny()).rejects.toThrow(`${server.address} has no repository someone/tiny`)
  })

  test('that a page came in the place of a file', async () => {
    server.intercept = (_host, _request, response) => {
      response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'content-length': '6' }).end('<html>')
      return true
    }
    const sentence = `${server.address} answered a web page in the place of`
    await expect(fetchTiny()).rejects.toThrow(`${sentence} config.json of someone/tiny`)
    await expect(fetchTiny({ file: '*' })).rejects.toThrow(`${sentence} the list of files of someone/tiny`)
    server.intercept = (_host, _request, response) => {
      response.end('<html>')
      return true
    }
    await expect(fetchTiny({ file: '*' })).rejects.toThrow('sent no JSON for the list of files of someone/tiny')
  })

  test('that another process fetches it, and not that one did that is gone', async () => {
    const begun = new Promise<void>(resolve => {
      server.intercept = (host, request, response) => {
        if (host !== 'storage' || request.method !== 'GET') return false
        response.writeHead(200, { 'content-length': '100000' }).flushHeaders()
        resolve()
        return true
      }
    })
    const abort = new AbortController()
    const running = fetchTiny({ signal: abort.signal, stallTimeoutMs: 60_000 })
    running.catch(() => {})
    await begun
    await expect(fetchTiny()).rejects.toThrow(`process ${process.pid} is fetching someone/tiny to ${target}`)
    abort.abort(new Error('enough'))
    await expect(running).rejects.toThrow('enough')
    server.intercept = () => false
    await writeFile(path.join(target, '.hub', 'pid'), '4194305')
    await fetchTiny()
  })

  test('that a model cannot be imported or has no room, before it fetches weights', async () => {
    const weights = (): unknown[] => server.asked.filter(({ host, method }) => host === 'storage' && method === 'GET')
    const full = new Error('the disk budget is used up')
    await expect(fetchTiny({ room: () => Promise.reject(full) })).rejects.toBe(full)
    expect(weights()).toEqual([])

    server.intercept = (host, request, response) => {
      if (host !== 'hub' || !request.url!.endsWith('.safetensors')) return false
      response.writeHead(200, { 'content-length': String(2 ** 50), etag: '"e"' }).end()
      return true
    }
    await expect(fetchTiny()).rejects.toMatchObject({
      name: 'DiskBudgetError',
      message: expect.stringMatching(
        /^fetching and importing someone\/tiny takes 2251800 GB of disk, and .* has room for/
      )
    })
    server.intercept = () => false

    const config = path.join(source, 'config.json')
    const described = JSON.parse(await readFile(config, 'utf8'))
    await writeFile(
      config,
      JSON.stringify({ ...described, architectures: ['FalconForCausalLM'], model_type: 'falcon' })
    )
    await expect(fetchTiny()).rejects.toThrow(/config\.json.*Falcon/)
    expect(weights()).toEqual([])
  })

  test('that the disk is full, and does not try again', async () => {
    const parts = path.join(target, '.hub')
    await mkdir(parts, { recursive: true })
    // A file that takes no byte, as a full disk has them.
    await symlink('/dev/full', path.join(parts, 'tokenizer.json.part'))
    await writeFile(path.join(parts, 'tokenizer.json.etag'), await etagOf('tokenizer.json'))
    await expect(fetchTiny({ retryDelayMs: 60_000 })).rejects.toThrow(
      `tokenizer.json of someone/tiny cannot be written to ${target}: the disk is full`
    )
  })

  test('that an index names a file elsewhere', async () => {
    const weight_map = { a: '../../x.safetensors' }
    await writeFile(path.join(source, 'model.safetensors.index.json'), JSON.stringify({ weight_map }))
    await expect(fetchTiny()).rejects.toThrow('which is no safetensors file in its folder')
  })
})

describe('of a repository with GGUF files', () => {
  const bytes = (text: string): Buffer => Buffer.from(`GGUF${text}`)
  beforeEach(async () => {
    await rm(source, { recursive: true })
    await mkdir(path.join(source, 'Q8 0'), { recursive: true })
  })
  const put = async (...names: readonly string[]): Promise<void> => {
    for (const name of names) await writeFile(path.join(source, name), bytes(name))
  }

  test('brings the only one, without being told which', async () => {
    await put('README.md', 'tiny.Q8_0.gguf')
    const progress: HubProgress[] = []
    const fetched = await fetchTiny({ onProgress: each => progress.push(each) })
    expect(fetched).toMatchObject({ source: path.join(target, 'tiny.Q8_0.gguf'), files: ['tiny.Q8_0.gguf'] })
    expect(fetched.origin).toBe(`someone/tiny@${commit}`)
    expect(await readFile(fetched.source)).toEqual(bytes('tiny.Q8_0.gguf'))
    expect(progress.at(-1)).toMatchObject({ weights: { bytes: 18, total: 18 } })
  })

  test('brings the one that a glob means, by path or name', async () => {
    await put('tiny.Q4_0.gguf', 'Q8 0/tiny#1.Q8_0.gguf')
    expect(await fetchTiny({ file: '*Q8_0.gguf' })).toMatchObject({ files: ['Q8 0/tiny#1.Q8_0.gguf'] })
    expect(await fetchTiny({ file: 'Q8 0/*' })).toMatchObject({ files: ['Q8 0/tiny#1.Q8_0.gguf'] })
    expect(await readFile(path.join(target, 'Q8 0/tiny#1.Q8_0.gguf'))).toEqual(bytes('Q8 0/tiny#1.Q8_0.gguf'))
    expect(await fetchTiny({ file: 'tiny.Q4_0.gguf' })).toMatchObject({ files: ['tiny.Q4_0.gguf'] })
  })

  test('brings all files of a split one, whichever of them is named', async () => {
    const names = ['big-00001-of-00002.gguf', 'big-00002-of-00002.gguf']
    await put(...names)
    const { files, source: first } = await fetchTiny({ file: 'big-00002*' })
    expect({ files, first }).toEqual({ files: names, first: path.join(target, names[0]!) })
  })

  test('names what there is where that is none, several, or not whole', async () => {
    await put('README.md')
    await expect(fetchTiny()).rejects.toThrow('has no config.json in someone/tiny')
    await expect(fetchTiny({ file: '*' })).rejects.toThrow(/^someone\/tiny at revision c{40}: it has no GGUF file$/)
    await put('a.gguf', 'b.gguf')
    await expect(fetchTiny()).rejects.toThrow(
      '2 of its GGUF files are *, one has to be named: a.gguf (10 B), b.gguf (10 B)'
    )
    await expect(fetchTiny({ file: 'c*' })).rejects.toThrow(
      'none of its GGUF files is c*: a.gguf (10 B), b.gguf (10 B)'
    )
    await put('big-00001-of-00003.gguf', 'big-00003-of-00003.gguf')
    await expect(fetchTiny({ file: 'big*' })).rejects.toThrow(
      'of big-00001-of-00003.gguf it lacks big-00002-of-00003.gguf'
    )
  })

  test('writes nothing outside of the folder, whatever the list names', async () => {
    const names = [
      '../out.gguf',
      '/out.gguf',
      'a/../../out.gguf',
      'a\\..\\out.gguf',
      '.hub/out.gguf',
      'a\nb.gguf',
      'C:out.gguf'
    ]
    server.intercept = (_host, { url }, response) => {
      if (!url!.startsWith('/api/')) return false
      response.end(JSON.stringify({ siblings: names.map(rfilename => ({ rfilename, size: 4 })) }))
      return true
    }
    await expect(fetchTiny({ file: '*' })).rejects.toThrow('it has no GGUF file')
    server.intercept = (_host, _request, response) => {
      response.end(JSON.stringify({ siblings: [{ rfilename: 7 }] }))
      return true
    }
    await expect(fetchTiny({ file: '*' })).rejects.toThrow(
      'sent something else for the list of files of someone/tiny: siblings.0.rfilename: '
    )
  })
})
