#include "client/client.h"

// Before the initialisation of other files' constants, which may copy one of these.
#define MAINSTAY_FIRST __attribute__((init_priority(200)))

namespace mainstay::client::resources {

const Resource kNamespaces MAINSTAY_FIRST{"", "v1", "namespaces", false, "Namespace"};
const Resource kConfigMaps MAINSTAY_FIRST{"", "v1", "configmaps", true, "ConfigMap"};
const Resource kSecrets MAINSTAY_FIRST{"", "v1", "secrets", true, "Secret"};
const Resource kServiceAccounts MAINSTAY_FIRST{"", "v1", "serviceaccounts", true, "ServiceAccount"};
const Resource kNodes MAINSTAY_FIRST{"", "v1", "nodes", false, "Node"};
const Resource kPods MAINSTAY_FIRST{"", "v1", "pods", true, "Pod"};
const Resource kServices MAINSTAY_FIRST{"", "v1", "services", true, "Service"};
const Resource kEndpointSlices MAINSTAY_FIRST{"discovery.k8s.io", "v1", "endpointslices", true, "EndpointSlice"};
const Resource kEvents MAINSTAY_FIRST{"", "v1", "events", true, "Event"};
const Resource kLeases MAINSTAY_FIRST{"coordination.k8s.io", "v1", "leases", true, "Lease"};
const Resource kDeployments MAINSTAY_FIRST{"apps", "v1", "deployments", true, "Deployment"};
const Resource kReplicaSets MAINSTAY_FIRST{"apps", "v1", "replicasets", true, "ReplicaSet"};
const Resource kRoles MAINSTAY_FIRST{"rbac.authorization.k8s.io", "v1", "roles", true, "Role"};
const Resource kRoleBindings MAINSTAY_FIRST{"rbac.authorization.k8s.io", "v1", "rolebindings", true, "RoleBinding"};
const Resource kClusterRoles MAINSTAY_FIRST{"rbac.authorization.k8s.io", "v1", "clusterroles", false, "ClusterRole"};
const Resource kClusterRoleBindings MAINSTAY_FIRST{"rbac.authorization.k8s.io", "v1", "clusterrolebindings", false,
                                                   "ClusterRoleBinding"};
const Resource kTeams MAINSTAY_FIRST{"mainstay.dev", "v1", "teams", false, "Team"};
const Resource kUsers MAINSTAY_FIRST{"mainstay.dev", "v1", "users", false, "User"};
const Resource kAccessTokens MAINSTAY_FIRST{"mainstay.dev", "v1", "accesstokens", false, "AccessToken"};
const Resource kRepositories MAINSTAY_FIRST{"mainstay.dev", "v1", "repositories", true, "Repository"};
const Resource kWorkflowRuns MAINSTAY_FIRST{"mainstay.dev", "v1", "workflowruns", true, "WorkflowRun"};
const Resource kCapabilities MAINSTAY_FIRST{"mainstay.dev", "v1", "capabilities", false, "Capability"};

}  // namespace mainstay::client::resources
