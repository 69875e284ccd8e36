#include <gtest/gtest.h>

#include "api/json_path.h"
#include "api/printers.h"
#include "api/test_json.h"
#include "api/test_types.h"
#include "api/verbs.h"

namespace mainstay::api {
namespace {
namespace json = base::json;

const base::SystemTime kNow = base::parse_rfc3339("2026-03-01T12:00:00Z").value();

store::RecordPtr record(json::value object) {
  auto out = std::make_shared<store::Record>();
  out->key.name = base::get_string(object, "metadata.name");
  out->object = std::make_shared<const json::value>(std::move(object));
  return out;
}

// The cells of one object, those with priority too.
json::array cells(const Type& type, std::string_view object) {
  const json::value table = to_table(type, {record(js(object))}, IncludeObject::kNone, kNow);
  return table.at("rows").at(0).at("cells").as_array();
}

TEST(Table, HasDefinitionsAndRows) {
  const json::value table =
      to_table(builtin("", "pods"), {record(js("{'metadata':{'name':'a'}}"))}, IncludeObject::kMetadata, kNow);
  EXPECT_EQ(table.at("kind"), "Table");
  const json::array& columns = table.at("columnDefinitions").as_array();
  EXPECT_EQ(columns.at(0).at("name"), "Name");
  EXPECT_EQ(columns.at(0).at("format"), "name");
  EXPECT_EQ(columns.at(1).at("name"), "Ready");
  EXPECT_EQ(table.at("rows").at(0).at("cells").as_array().size(), columns.size());
  EXPECT_EQ(table.at("rows").at(0).at("object").at("kind"), "PartialObjectMetadata");
  EXPECT_EQ(to_table(builtin("", "events"), {}, false, kNow).at("columnDefinitions").at(0).at("name"), "Last Seen");
}

TEST(Table, PodStatusInAWord) {
  const struct {
    const char *pod, *ready, *status, *restarts;
  } kRows[] = {
      {"{'spec':{'containers':[{},{}]},'status':{'phase':'Pending'}}", "0/2", "Pending", "0"},
      {"{'spec':{'containers':[{}]},'status':{'phase':'Running','containerStatuses':[{'ready':true,'state':{'running':{"
       "}}}]}}",
       "1/1", "Running", "0"},
      {"{'spec':{'containers':[{}]},'status':{'phase':'Running','containerStatuses':[{'restartCount':3,'state':{'"
       "waiting':{'reason':"
       "'CrashLoopBackOff'}},'lastState':{'terminated':{'finishedAt':'2026-03-01T11:59:00Z'}}}]}}",
       "0/1", "CrashLoopBackOff", "3 (60s ago)"},
      {"{'spec':{'containers':[{}]},'status':{'phase':'Failed','containerStatuses':[{'state':{'terminated':{'exitCode':"
       "2}}}]}}",
       "0/1", "ExitCode:2", "0"},
      {"{'spec':{'containers':[{}]},'status':{'phase':'Failed','containerStatuses':[{'state':{'terminated':{'exitCode':"
       "137,'signal':9}}}]}}",
       "0/1", "Signal:9", "0"},
      {"{'spec':{'containers':[{}]},'status':{'phase':'Succeeded','containerStatuses':[{'state':{'terminated':{'"
       "exitCode':0,'reason':"
       "'Completed'}}}]}}",
       "0/1", "Completed", "0"},
      {"{'spec':{'initContainers':[{},{}],'containers':[{}]},'status':{'phase':'Pending','initContainerStatuses':[{'"
       "state':{'terminated':{"
       "'exitCode':0}}},{'state':{'running':{}}}]}}",
       "0/1", "Init:1/2", "0"},
      {"{'spec':{'initContainers':[{}],'containers':[{}]},'status':{'phase':'Pending','initContainerStatuses':[{'"
       "restartCount':2,'state':{"
       "'waiting':{'reason':'ImagePullBackOff'}}}]}}",
       "0/1", "Init:ImagePullBackOff", "2"},
      {"{'spec':{'initContainers':[{'name':'s','restartPolicy':'Always'}],'containers':[{}]},'status':{'phase':'"
       "Running',"
       "'initContainerStatuses':[{'name':'s','started':true,'ready':true,'state':{'running':{}}}],'containerStatuses':["
       "{'ready':true,"
       "'state':{'running':{}}}]}}",
       "2/2", "Running", "0"},
      {"{'metadata':{'deletionTimestamp':'2026-03-01T12:00:00Z'},'spec':{'containers':[{}]},'status':{'phase':'Running'"
       "}}",
       "0/1", "Terminating", "0"},
      {"{'spec':{'containers':[{}]},'status':{'phase':'Failed','reason':'Evicted'}}", "0/1", "Evicted", "0"},
  };
  for (const auto& row : kRows) {
    const json::value pod = js(row.pod);
    EXPECT_EQ(find_printer("pod-ready")(pod, kNow), row.ready) << row.pod;
    EXPECT_EQ(find_printer("pod-status")(pod, kNow), row.status) << row.pod;
    EXPECT_EQ(find_printer("pod-restarts")(pod, kNow), row.restarts) << row.pod;
  }
}

TEST(Table, OtherKinds) {
  const struct {
    const char *group, *plural, *object, *expected;
  } kRows[] = {
      {"apps", "deployments",
       "{'metadata':{'name':'d','creationTimestamp':'2026-03-01T10:00:00Z'},'spec':{'replicas':3,'selector':{'"
       "matchLabels':{'a':'b'}},"
       "'template':{'spec':{'containers':[{'name':'c','image':'i:1'},{'name':'e','image':'i:2'}]}}},'status':{'"
       "readyReplicas':2,"
       "'updatedReplicas':3,'availableReplicas':1}}",
       "['d','2/3',3,1,'120m','c,e','i:1,i:2','a=b']"},
      {"", "services",
       "{'metadata':{'name':'s'},'spec':{'type':'NodePort','clusterIP':'10.0.0.1','ports':[{'port':80,'nodePort':30000}"
       ",{'port':53,"
       "'protocol':'UDP'}],'selector':{'b':'2','a':'1'}}}",
       "['s','NodePort','10.0.0.1','<none>','80:30000/TCP,53/UDP',null,'a=1,b=2']"},
      {"", "services", "{'metadata':{'name':'s'},'spec':{'type':'LoadBalancer'}}",
       "['s','LoadBalancer','<none>','<pending>','<none>',null,'<none>']"},
      {"discovery.k8s.io", "endpointslices",
       "{'metadata':{'name':'e'},'addressType':'IPv4','ports':[{'port':80}],'endpoints':[{'addresses':['1','2']},{'"
       "addresses':['3','4','5']}]}",
       "['e','IPv4','80','1,2,3 + 2 more...',null]"},
      {"discovery.k8s.io", "endpointslices", "{'metadata':{'name':'e'},'addressType':'IPv4','endpoints':[]}",
       "['e','IPv4','<unset>','<unset>',null]"},
      {"", "events",
       "{'metadata':{'name':'x'},'lastTimestamp':'2026-03-01T11:58:00Z','type':'Normal','reason':'Made','"
       "involvedObject':{'kind':'Pod',"
       "'name':'p'},'message':'m','source':{'component':'c'},'count':4}",
       "['2m','Normal','Made','pod/p',null,'c','m','<unknown>','4','x']"},
      {"", "configmaps", "{'metadata':{'name':'c'},'data':{'a':'','b':''},'binaryData':{'c':''}}", "['c','3',null]"},
      {"", "nodes",
       "{'metadata':{'name':'n','labels':{'node-role.kubernetes.io/"
       "control-plane':''}},'spec':{'unschedulable':true},'status':{'conditions':"
       "[{'type':'Ready','status':'True'}],'addresses':[{'type':'InternalIP','address':'1.2.3.4'}]}}",
       "['n','Ready,SchedulingDisabled','control-plane',null,null,'1.2.3.4','<none>',null,null,null]"},
      {"rbac.authorization.k8s.io", "rolebindings",
       "{'metadata':{'name':'r'},'roleRef':{'kind':'Role','name':'x'},'subjects':[{'kind':'User','name':'ann'},{'kind':"
       "'User','name':'bob'},"
       "{'kind':'ServiceAccount','name':'s','namespace':'n'}]}",
       "['r','Role/x',null,'ann, bob','','n/s']"},
  };
  for (const auto& row : kRows) {
    EXPECT_EQ(json::value(cells(builtin(row.group, row.plural), row.object)), js(row.expected))
        << row.plural << ": " << json::serialize(cells(builtin(row.group, row.plural), row.object));
  }
}

TEST(Table, Durations) {
  using namespace std::chrono_literals;
  const struct {
    std::chrono::seconds duration;
    const char* expected;
  } kRows[] = {{-5s, "<invalid>"},  {-1s, "0s"},         {0s, "0s"},           {119s, "119s"}, {120s, "2m"},
               {125s, "2m5s"},      {10min, "10m"},      {179min, "179m"},     {3h, "3h"},     {3h + 5min, "3h5m"},
               {8h + 5min, "8h"},   {47h, "47h"},        {48h, "2d"},          {50h, "2d2h"},  {24h * 8, "8d"},
               {24h * 729, "729d"}, {24h * 731, "2y1d"}, {24h * 365 * 9, "9y"}};
  for (const auto& row : kRows) EXPECT_EQ(human_duration(row.duration), row.expected);
}

TEST(JsonPath, Finds) {
  const json::value root = js("{'a':{'b.c':[{'t':'x','v':1},{'t':'y','v':2}]},'n':null}");
  const struct {
    const char *path, *expected;
  } kRows[] = {
      {".a['b.c'][0].v", "[1]"},
      {".a.b\\.c[-1].t", "['y']"},
      {".a['b.c'][*].v", "[1,2]"},
      {".a['b.c'][?(@.t==\"y\")].v", "[2]"},
      {".a['b.c'][?(@.v!=1)].t", "['y']"},
      {"{.n}", "[null]"},
      {"$.a.x.y", "[]"},
      {".a['b.c'][9]", "[]"},
      {".", nullptr},
  };
  for (const auto& row : kRows) {
    const auto path = JsonPath::parse(row.path);
    ASSERT_TRUE(path) << row.path;
    json::array found;
    for (const json::value* one : path->find(root)) found.push_back(*one);
    if (row.expected) {
      EXPECT_EQ(json::value(found), js(row.expected)) << row.path;
    }
  }
  for (const char* bad : {"a", ".a[", ".a[x]", ".a[?(@.b)]", ".a..b", ".a[?(b==1)]", ".a[?(@.b==x)]"}) {
    EXPECT_FALSE(JsonPath::parse(bad)) << bad;
  }
}

}  // namespace
}  // namespace mainstay::api
