import type { PackageDefinition, ServiceDefinition } from '@grpc/proto-loader'

const HEADER = {
  fields: {
    cluster_id: { type: 'uint64', id: 1 },
    member_id: { type: 'uint64', id: 2 },
    revision: { type: 'int64', id: 3 },
    raft_term: { type: 'uint64', id: 4 },
  },
}

const KEY_VALUE = {
  fields: {
    key: { type: 'bytes', id: 1 },
    create_revision: { type: 'int64', id: 2 },
    mod_revision: { type: 'int64', id: 3 },
    version: { type: 'int64', id: 4 },
    value: { type: 'bytes', id: 5 },
    lease: { type: 'int64', id: 6 },
  },
}

const fields = (fields: Record<string, string>) => ({
  fields: Object.fromEntries(Object.entries(fields).map(([name, type], at) => [name, { type, id: at + 1 }])),
})

const rpc = (requestType: string, responseType: string, responseStream = false) => ({
  ...{ requestType, responseType, responseStream },
})

/** Messages and services of etcd that the published client does not know, or not in full, by the numbers of etcd's own. */
export const NEWER: object = {
  nested: {
    newer: {
      nested: {
        KeyValue: KEY_VALUE,
        ResponseHeader: HEADER,
        RangeResponse: {
          fields: {
            header: { type: 'ResponseHeader', id: 1 },
            kvs: { rule: 'repeated', type: 'KeyValue', id: 2 },
            more: { type: 'bool', id: 3 },
            count: { type: 'int64', id: 4 },
          },
        },
        RangeStreamResponse: fields({ range_response: 'RangeResponse' }),
        DowngradeInfo: fields({ enabled: 'bool', targetVersion: 'string' }),
        StatusResponse: {
          fields: {
            header: { type: 'ResponseHeader', id: 1 },
            version: { type: 'string', id: 2 },
            dbSize: { type: 'int64', id: 3 },
            leader: { type: 'uint64', id: 4 },
            raftIndex: { type: 'uint64', id: 5 },
            raftTerm: { type: 'uint64', id: 6 },
            raftAppliedIndex: { type: 'uint64', id: 7 },
            errors: { rule: 'repeated', type: 'string', id: 8 },
            dbSizeInUse: { type: 'int64', id: 9 },
            isLearner: { type: 'bool', id: 10 },
            storageVersion: { type: 'string', id: 11 },
            dbSizeQuota: { type: 'int64', id: 12 },
            downgradeInfo: { type: 'DowngradeInfo', id: 13 },
          },
        },
        Nothing: { fields: {} },
        KV: { methods: { RangeStream: rpc('Nothing', 'RangeStreamResponse', true) } },
        Maintenance: { methods: { Status: rpc('Nothing', 'StatusResponse') } },
      },
    },
    v3lockpb: {
      nested: {
        ResponseHeader: HEADER,
        LockRequest: fields({ name: 'bytes', lease: 'int64' }),
        LockResponse: fields({ header: 'ResponseHeader', key: 'bytes' }),
        UnlockRequest: fields({ key: 'bytes' }),
        UnlockResponse: fields({ header: 'ResponseHeader' }),
        Lock: {
          methods: {
            Lock: rpc('LockRequest', 'LockResponse'),
            Unlock: rpc('UnlockRequest', 'UnlockResponse'),
          },
        },
      },
    },
    v3electionpb: {
      nested: {
        KeyValue: KEY_VALUE,
        ResponseHeader: HEADER,
        LeaderKey: fields({ name: 'bytes', key: 'bytes', rev: 'int64', lease: 'int64' }),
        CampaignRequest: fields({ name: 'bytes', lease: 'int64', value: 'bytes' }),
        CampaignResponse: fields({ header: 'ResponseHeader', leader: 'LeaderKey' }),
        LeaderRequest: fields({ name: 'bytes' }),
        LeaderResponse: fields({ header: 'ResponseHeader', kv: 'KeyValue' }),
        ResignRequest: fields({ leader: 'LeaderKey' }),
        ResignResponse: fields({ header: 'ResponseHeader' }),
        ProclaimRequest: fields({ leader: 'LeaderKey', value: 'bytes' }),
        ProclaimResponse: fields({ header: 'ResponseHeader' }),
        Election: {
          methods: {
            Campaign: rpc('CampaignRequest', 'CampaignResponse'),
            Proclaim: rpc('ProclaimRequest', 'ProclaimResponse'),
            Leader: rpc('LeaderRequest', 'LeaderResponse'),
            Observe: rpc('LeaderRequest', 'LeaderResponse', true),
            Resign: rpc('ResignRequest', 'ResignResponse'),
          },
        },
      },
    },
  },
}

/** The definitions of etcd's services as of 3.7: those of 3.4, and what came later. */
export function withNewer(definitions: PackageDefinition, newer: PackageDefinition): PackageDefinition {
  const known = (name: string) => definitions[`etcdserverpb.${name}`] as ServiceDefinition
  const [kv, maintenance] = [known('KV'), known('Maintenance')]
  const { RangeStream } = newer['newer.KV'] as ServiceDefinition
  const { Status } = newer['newer.Maintenance'] as ServiceDefinition
  const { requestSerialize, requestDeserialize } = kv.Range!
  const { responseSerialize, responseDeserialize } = Status!
  return {
    ...newer,
    ...definitions,
    'etcdserverpb.KV': {
      ...kv,
      RangeStream: {
        ...RangeStream!,
        path: '/etcdserverpb.KV/RangeStream',
        requestSerialize,
        requestDeserialize,
      },
    },
    'etcdserverpb.Maintenance': {
      ...maintenance,
      Status: { ...maintenance.Status!, responseSerialize, responseDeserialize },
    },
  }
}
