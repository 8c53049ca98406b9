/** A refusal as a client of etcd gets it. */
export class EtcdError extends Error {
  /** gRPC's status. */
  readonly code: number

  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}

/** The status and the text of each refusal, as in etcd's own `rpctypes/error.go`. */
const REFUSALS = {
  emptyKey: [3, 'key is not provided'],
  keyNotFound: [3, 'key not found'],
  valueProvided: [3, 'value is provided'],
  leaseProvided: [3, 'lease is provided'],
  invalidSortOption: [3, 'invalid sort option'],
  tooManyOps: [3, 'too many operations in txn request'],
  duplicateKey: [3, 'duplicate key given in txn request'],
  tooLarge: [3, 'request is too large'],
  userEmpty: [3, 'user name is empty'],
  roleEmpty: [3, 'role name is empty'],
  permissionNotGiven: [3, 'permission not given'],
  authFailed: [3, 'authentication failed, invalid user ID or password'],
  invalidAuthManagement: [3, 'invalid auth management'],
  leaseNotFound: [5, 'requested lease not found'],
  memberNotFound: [5, 'member not found'],
  permissionDenied: [7, 'permission denied'],
  noSpace: [8, 'mvcc: database space exceeded'],
  leaseExists: [9, 'lease already exists'],
  rootUserNotExist: [9, 'root user does not exist'],
  rootRoleNotExist: [9, 'root user does not have root role'],
  userExists: [9, 'user name already exists'],
  userNotFound: [9, 'user name not found'],
  roleExists: [9, 'role name already exists'],
  roleNotFound: [9, 'role name not found'],
  roleNotGranted: [9, 'role is not granted to the user'],
  permissionNotGranted: [9, 'permission is not granted to the role'],
  authNotEnabled: [9, 'authentication is not enabled'],
  compacted: [11, 'mvcc: required revision has been compacted'],
  futureRevision: [11, 'mvcc: required revision is a future revision'],
  leaseTtlTooLarge: [11, 'too large lease TTL'],
  invalidAuthToken: [16, 'invalid auth token'],
} as const

export function refused(what: keyof typeof REFUSALS): EtcdError {
  const [code, text] = REFUSALS[what]
  return new EtcdError(code, `etcdserver: ${text}`)
}
