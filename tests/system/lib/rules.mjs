// For each of the platform's own alerts: series with which it fires at a time, and others with which it must not.
const pod = 'namespace="shop",team="shop",pod="web-1",workload="web",container="main"';
const edge = 'job="mainstay",namespace="shop",team="shop",workload="web"';
const state = 'job="kube-state-metrics"';
const node = 'job="node-exporter",mountpoint="/var/lib/mainstay"';
const series = (entries) => Object.entries(entries).map(([name, values]) => ({ series: name, values }));
const buckets = (fast) => series({
  [`mainstay_edge_request_duration_seconds_bucket{${edge},le="1"}`]: `0+${fast}x40`,
  [`mainstay_edge_request_duration_seconds_bucket{${edge},le="5"}`]: '0+100x40',
  [`mainstay_edge_request_duration_seconds_bucket{${edge},le="+Inf"}`]: '0+100x40',
});
const requests = (failed) => series({
  [`mainstay_edge_requests_total{${edge},code="500"}`]: `0+${failed}x40`,
  [`mainstay_edge_requests_total{${edge},code="200"}`]: `0+${100 - failed}x40`,
});
const gauge = (name, labels, value) => series({ [`${name}{${labels}}`]: `${value}x40` });
const restarts = (values) => series({ [`kube_pod_container_status_restarts_total{${state},${pod}}`]: values });
const replicas = (serve) => [...gauge('kube_deployment_status_replicas_available', `${state},namespace="shop",deployment="web"`, serve), ...gauge('kube_deployment_spec_replicas', `${state},namespace="shop",deployment="web"`, 2)];
const memory = (used, limit) => [...gauge('container_memory_working_set_bytes', `job="kubelet",${pod}`, used), ...gauge('container_spec_memory_limit_bytes', `job="kubelet",${pod}`, limit)];
const disk = (avail) => series({ [`node_filesystem_avail_bytes{${node}}`]: avail, [`node_filesystem_size_bytes{${node}}`]: '100x600' });
const pool = (used) => [...gauge('mainstay_address_pool_used', `${state},pool="p"`, used), ...gauge('mainstay_address_pool_size', `${state},pool="p"`, 100)];
const claim = (size, limit) => [...gauge('mainstay_claim_size_bytes', `${state},namespace="shop",claim="c",type="s3"`, size), ...gauge('mainstay_claim_limit_bytes', `${state},namespace="shop",claim="c",type="s3"`, limit)];

// [alert, series, when it is looked at, whether it fires]. A series that claims to be of another job never counts.
export const cases = [
  ['PodCrashLooping', restarts('0+1x40'), '15m', true],
  ['PodCrashLooping', restarts('0 0 0 1 1 1 1 1 1 1 1 1 1 1 1 1 1'), '15m', false],
  ['PodCrashLooping', series({ [`kube_pod_container_status_restarts_total{job="pods",${pod}}`]: '0+1x40' }), '15m', false],
  ['DeploymentNotAvailable', replicas(1), '10m', true],
  ['DeploymentNotAvailable', replicas(1), '3m', false],
  ['DeploymentNotAvailable', replicas(2), '10m', false],
  ['HighErrorRate', requests(10), '15m', true],
  ['HighErrorRate', requests(3), '15m', false],
  ['HighErrorRate', series({ [`mainstay_edge_requests_total{${edge.replace('mainstay', 'pods')},code="500"}`]: '0+10x40' }), '15m', false],
  ['HighLatency', buckets(50), '20m', true],
  ['HighLatency', buckets(100), '20m', false],
  ['ContainerMemoryNearLimit', memory(97, 100), '10m', true],
  ['ContainerMemoryNearLimit', memory(50, 100), '10m', false],
  ['ContainerMemoryNearLimit', memory(97, 0), '10m', false],
  ['WorkflowRunFailed', gauge('mainstay_workflowrun_last_succeeded', `${state},namespace="shop",repository="web"`, 0), '5m', true],
  ['WorkflowRunFailed', gauge('mainstay_workflowrun_last_succeeded', `${state},namespace="shop",repository="web"`, 1), '5m', false],
  ['CapabilityUnhealthy', gauge('mainstay_capability_healthy', `${state},capability="edge"`, 0), '5m', true],
  ['CapabilityUnhealthy', gauge('mainstay_capability_healthy', `${state},capability="edge"`, 1), '5m', false],
  ['TargetDown', gauge('up', 'job="kubelet"', 0), '5m', true],
  ['TargetDown', gauge('up', 'job="kubelet"', 1), '5m', false],
  ['TargetDown', gauge('up', 'job="pods"', 0), '5m', false],
  // promtool's clock begins at 1970.
  ['CertificateExpiresSoon', gauge('mainstay_certificate_expiry_timestamp_seconds', 'job="node-exporter",name="authority"', 5 * 86400), '5m', true],
  ['CertificateExpiresSoon', gauge('mainstay_certificate_expiry_timestamp_seconds', 'job="node-exporter",name="authority"', 30 * 86400), '5m', false],
  ['DiskAlmostFull', disk('5x600'), '5m', true],
  ['DiskAlmostFull', disk('50x600'), '5m', false],
  ['DiskFullInFourDays', disk('39-0.02x600'), '9h', true],
  ['DiskFullInFourDays', disk('39x600'), '9h', false],
  ['DiskFullInFourDays', disk('99-0.02x600'), '9h', false],
  ['AddressPoolAlmostExhausted', pool(95), '10m', true],
  ['AddressPoolAlmostExhausted', pool(50), '10m', false],
  ['AddressPoolRunsOut', gauge('mainstay_address_pool_forecast_months', `${state},pool="p"`, 12), '10m', true],
  ['AddressPoolRunsOut', gauge('mainstay_address_pool_forecast_months', `${state},pool="p"`, 60), '10m', false],
  ['ResourceOverCapacity', claim(200, 100), '10m', true],
  ['ResourceOverCapacity', claim(50, 100), '10m', false],
  ['ResourceOverCapacity', claim(50, 0), '10m', false],
];

// promtool's file of tests for a rule file.
export function promtoolTests(ruleFile) {
  return { rule_files: [ruleFile], evaluation_interval: '1m', tests: cases.map(([alert, input, at, fires]) => ({
    interval: '1m', input_series: input,
    promql_expr_test: [{ expr: `count by (alertname) (ALERTS{alertname="${alert}",alertstate="firing"})`, eval_time: at,
      exp_samples: fires ? [{ labels: `{alertname="${alert}"}`, value: 1 }] : [] }] })) };
}
