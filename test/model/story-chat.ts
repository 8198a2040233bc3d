/** The model that ships, with a chat template: a model that converses, for tests that run everywhere. It answers with stories. */
import { join } from 'node:path'
import { listModels } from '../../src/index.ts'
import { openStore, type StoredModel } from '../../src/model/store.ts'

export const storyTemplate =
  "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' and not loop.first %}" +
  "{{ raise_exception('the system speaks first') }}{% endif %}{{ m.role + ': ' + m.content | trim + eos_token + '\n' }}{% endfor %}" +
  '{% if add_generation_prompt %}assistant:{% endif %}'

/** Writes it into a data directory, under the name `storychat`: its files are those of the model that ships. */
export async function writeStoryChat(dataDir: string): Promise<StoredModel> {
  const [stories] = await listModels('/nonexistent')
  const store = await openStore({ own: join(dataDir, 'models') })
  return store.putManifest({ ...stories!.manifest, name: 'storychat', chatTemplate: storyTemplate }, { partial: true })
}
