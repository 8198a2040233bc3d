/**
 * The public surface of Skein: the only barrel in the house.
 *
 * @module skein
 */
export type { CacheType } from './base/cache-type.ts'
export type { ModelId, PeerId, Range, SessionId, ShardId } from './base/ids.ts'
export { reasonOf } from './base/reason.ts'
export { readStored, readStoredText } from './disk/files.ts'
export { openSealed } from './disk/vault.ts'
export { forTerminal } from './base/shown.ts'
export { momentText } from './base/moments.ts'
export { formatBytes, parseBytes } from './base/units.ts'
export type { Finding, FindingName } from './doctor/finding.ts'
export { type ExamineInit, examine } from './doctor/service.ts'
export * from './errors.ts'
export { makeKeyFile } from './keep/key-file.ts'
export { dropFetch, type HubModel, type HubProgress } from './model/import-hub.ts'
export { type SurveyedModel, type SurveyInit, surveyHub } from './model/import-survey.ts'
export {
  type FetchModelInit,
  fetchModel,
  findModel,
  listGraphs,
  listModels,
  shareModel,
  showModel,
  verifyModel
} from './model/library.ts'
export type {
  Engine,
  EngineTimings,
  OpenInit,
  PrefixStats,
  Sampling,
  Step,
  StepInput,
  StepOutput
} from './engine/engine.ts'
export type { EngineFactory, EngineInit, Measured, MeasureInit, SelfTest } from './engine/factory.ts'
export type { Footprint } from './engine/footprint.ts'
export { onnxEngine } from './engine/onnx/factory.ts'
export { wasmEngine } from './engine/wasm/factory.ts'
export type { ModelConfig } from './model/decoder.ts'
export type { AnyManifest, EdgeType, GraphManifest, Manifest } from './model/manifest.ts'
export type { WeightType } from './model/weight-types.ts'
export { type Dtype, weightsLabel } from './model/weight-types.ts'
export { type DtypeChoice, type DtypeMix, type WeightKind, weightKinds } from './model/dtype-choice.ts'
export type { RemovedModel } from './model/removal.ts'
export { checkGrammar } from './model/grammar-check-service.ts'
export { plainArguments } from './model/plain-values.ts'
export { type AnyModel, isStoredGraph, type StoredGraph, type StoredModel } from './model/stored.ts'
export type { GraphPort, Tensor, TensorData, Tensors, TensorType } from './model/tensors.ts'
export type * from './peer/api.ts'
export { type AuditFigures, type AuditReportInit, type FiguresReport, reportAudit } from './peer/audit-report.ts'
export {
  type AuditLine,
  type AuditPlace,
  type AuditProblem,
  type AuditReport,
  tailAudit,
  type VerifiedAudit,
  verifyAudit
} from './peer/audit-files.ts'
export {
  graphNeeds,
  type ModelContents,
  modelContents,
  type ModelNeeds,
  modelNeeds,
  peersNeeded
} from './peer/model-needs.ts'
export * from './peer/peer.ts'
export type { EdgeChoice } from './engine/edge-choice.ts'
export { type ImportGraphInit, type ImportModelInit, importGraph, importModel } from './peer/import-model.ts'
export type { WeightCost } from './peer/weight-cost.ts'
export { isGraphFile } from './model/import-graph.ts'
export { bytesOfTensor, describePort, tensorBytes, tensorOfBytes } from './model/tensors.ts'
export { halfBits, halfValue } from './model/half.ts'
export {
  readSigners,
  type SignModelInit,
  signersOf,
  signModel,
  verifySignedModel
} from './peer/model-signing.ts'
export { type FolderInit, signFolder, verifyFolder } from './peer/folder-signing.ts'
export { TrustedSigners, trustedSigners } from './peer/trusted-signers.ts'
export { removeModel } from './peer/remove-model.ts'
export {
  certifySigner,
  deputise,
  type GrantInit,
  initMembers,
  inviteMember,
  type Joined,
  joinSwarm,
  type MembersInit,
  renewMember
} from './peer/enrolment.ts'
export { type AttestingInit, type MachineEvidence, type RequireAttestedInit, showEvidence } from './peer/attesting.ts'
export { keepItems, type KnownMembers, membersOf } from './peer/known-members.ts'
export {
  type RevokeKeyInit,
  revokeKey,
  type RevokeInit,
  revokeMember,
  type SuccessionInit,
  succeedAuthority
} from './peer/revoking.ts'
export {
  resealDirectory,
  type ResealOptions,
  type SealedDirectory,
  unsealDirectory
} from './swarm/resealing-service.ts'
export { sealDirectory } from './swarm/sealing-service.ts'
export { makeSigningKeyFile, type SigningKeyFiles } from './swarm/signing-file.ts'
export { initSwarm } from './swarm/swarm-file.ts'
export type { TpmInit } from './swarm/attester-service.ts'
export {
  type AskedEvidence,
  attestableRoles,
  type Attester,
  type EvidenceJudge,
  type ExpectedEvidence,
  registerList,
  type RegisterSet,
  registerSet
} from './trust/attestation.ts'
export type { AttestedFacts } from './trust/attested-peers.ts'
export type { KeyText } from './trust/keys.ts'
export type { ModelSigner, ModelSigners } from './trust/model-signature.ts'
export type { DeputyFacts, MemberFacts, ModelKeyFacts } from './trust/members.ts'
export { type Power, powers, type Role, roles } from './trust/roles.ts'
