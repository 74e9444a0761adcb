// Package quickstart checks that a cluster behaves like one: a dozen things an integration suite relies on.
//
// Every test works in a namespace of its own, so the tests run in parallel and any number of times.
package quickstart

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const patience = 30 * time.Second

func restConfig(t *testing.T) *rest.Config {
	t.Helper()
	path := os.Getenv("KUBECONFIG")
	if path == "" {
		t.Fatal("KUBECONFIG is not set: run this suite with mk-ci run")
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS, config.Burst = 200, 400
	return config
}

// rig gives a client and a new namespace that goes away with the test.
func rig(t *testing.T) (context.Context, kubernetes.Interface, string) {
	t.Helper()
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	t.Cleanup(cancel)
	client := kubernetes.NewForConfigOrDie(restConfig(t))
	namespace, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "quickstart-go-"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("create a namespace: %v", err)
	}
	t.Cleanup(func() {
		_ = client.CoreV1().Namespaces().Delete(context.Background(), namespace.Name, metav1.DeleteOptions{})
	})
	return ctx, client, namespace.Name
}

// eventually probes until the condition holds and says what was seen last when it never does.
func eventually(t *testing.T, ctx context.Context, what string, condition func(ctx context.Context) (bool, string)) {
	t.Helper()
	var seen string
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, patience, true, func(ctx context.Context) (done bool, err error) {
		done, seen = condition(ctx)
		return done, nil
	})
	if err != nil {
		t.Fatalf("%s: not within %s; seen last: %s", what, patience, seen)
	}
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func pause() corev1.PodSpec {
	return corev1.PodSpec{Containers: []corev1.Container{{Name: "pause", Image: "registry.k8s.io/pause:3.10.2"}}}
}

func TestNamespaceGetsDefaultServiceAccount(t *testing.T) {
	ctx, client, namespace := rig(t)
	eventually(t, ctx, "the default ServiceAccount", func(ctx context.Context) (bool, string) {
		_, err := client.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
		return err == nil, fmt.Sprint(err)
	})
	eventually(t, ctx, "the CA bundle for pods", func(ctx context.Context) (bool, string) {
		_, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
		return err == nil, fmt.Sprint(err)
	})
}

func TestDeploymentRuns(t *testing.T) {
	ctx, client, namespace := rig(t)
	labels := map[string]string{"app": "web"}
	replicas := int32(3)
	_, err := client.AppsV1().Deployments(namespace).Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pause()},
		},
	}, metav1.CreateOptions{})
	must(t, "create the deployment", err)
	eventually(t, ctx, "three ready replicas", func(ctx context.Context) (bool, string) {
		deployment, err := client.AppsV1().Deployments(namespace).Get(ctx, "web", metav1.GetOptions{})
		if err != nil {
			return false, err.Error()
		}
		return deployment.Status.ReadyReplicas == 3, fmt.Sprintf("%d ready", deployment.Status.ReadyReplicas)
	})
	pods, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=web"})
	must(t, "list pods", err)
	for _, pod := range pods.Items {
		if pod.Spec.NodeName == "" || pod.Status.Phase != corev1.PodRunning {
			t.Errorf("pod %s is %s on node %q", pod.Name, pod.Status.Phase, pod.Spec.NodeName)
		}
	}
}

func TestServiceGetsEndpoints(t *testing.T) {
	ctx, client, namespace := rig(t)
	labels := map[string]string{"app": "backend"}
	_, err := client.CoreV1().Services(namespace).Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "backend"},
		Spec:       corev1.ServiceSpec{Selector: labels, Ports: []corev1.ServicePort{{Port: 80}}},
	}, metav1.CreateOptions{})
	must(t, "create the service", err)
	waitForServiceAccount(t, ctx, client, namespace)
	_, err = client.CoreV1().Pods(namespace).Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "backend", Labels: labels}, Spec: pause(),
	}, metav1.CreateOptions{})
	must(t, "create the pod", err)
	eventually(t, ctx, "an endpoint", func(ctx context.Context) (bool, string) {
		slices, err := client.DiscoveryV1().EndpointSlices(namespace).List(ctx, metav1.ListOptions{
			LabelSelector: "kubernetes.io/service-name=backend",
		})
		if err != nil {
			return false, err.Error()
		}
		endpoints := 0
		for _, slice := range slices.Items {
			endpoints += len(slice.Endpoints)
		}
		return endpoints == 1, fmt.Sprintf("%d endpoints", endpoints)
	})
}

// Pods are refused until the controller manager has made the namespace's ServiceAccount.
func waitForServiceAccount(t *testing.T, ctx context.Context, client kubernetes.Interface, namespace string) {
	t.Helper()
	eventually(t, ctx, "the default ServiceAccount", func(ctx context.Context) (bool, string) {
		_, err := client.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
		return err == nil, fmt.Sprint(err)
	})
}

func TestRBAC(t *testing.T) {
	ctx, client, namespace := rig(t)
	waitForServiceAccount(t, ctx, client, namespace)
	config := rest.CopyConfig(restConfig(t))
	config.Impersonate.UserName = "system:serviceaccount:" + namespace + ":default"
	stranger := kubernetes.NewForConfigOrDie(config)

	t.Run("refuses a stranger", func(t *testing.T) {
		_, err := stranger.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{})
		if !apierrors.IsForbidden(err) {
			t.Fatalf("want 403, got %v", err)
		}
	})
	t.Run("lets in whom a binding names", func(t *testing.T) {
		_, err := client.RbacV1().RoleBindings(namespace).Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "viewers"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
			Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: "default", Namespace: namespace}},
		}, metav1.CreateOptions{})
		must(t, "bind the role", err)
		eventually(t, ctx, "permission to list pods", func(ctx context.Context) (bool, string) {
			review, err := stranger.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
				Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
					Namespace: namespace, Verb: "list", Resource: "pods",
				}},
			}, metav1.CreateOptions{})
			if err != nil {
				return false, err.Error()
			}
			return review.Status.Allowed, review.Status.Reason
		})
	})
}

func TestCustomResource(t *testing.T) {
	ctx, _, namespace := rig(t)
	config := restConfig(t)
	definitions := apiextensions.NewForConfigOrDie(config).ApiextensionsV1().CustomResourceDefinitions()
	group := namespace + ".example.com"
	minimum := float64(1)
	_, err := definitions.Create(ctx, &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "widgets." + group},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: group,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "widgets", Singular: "widget", Kind: "Widget", ListKind: "WidgetList"},
			Scope: apiextensionsv1.NamespaceScoped,
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1", Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
					Type: "object",
					Properties: map[string]apiextensionsv1.JSONSchemaProps{"spec": {
						Type:       "object",
						Properties: map[string]apiextensionsv1.JSONSchemaProps{"size": {Type: "integer", Minimum: &minimum}},
					}},
				}},
			}},
		},
	}, metav1.CreateOptions{})
	must(t, "create the definition", err)
	t.Cleanup(func() {
		_ = definitions.Delete(context.Background(), "widgets."+group, metav1.DeleteOptions{})
	})
	widgets := dynamic.NewForConfigOrDie(config).
		Resource(schema.GroupVersionResource{Group: group, Version: "v1", Resource: "widgets"}).Namespace(namespace)
	widget := func(name string, size int64) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": group + "/v1", "kind": "Widget",
			"metadata": map[string]any{"name": name}, "spec": map[string]any{"size": size},
		}}
	}
	eventually(t, ctx, "the new resource is served", func(ctx context.Context) (bool, string) {
		_, err := widgets.Create(ctx, widget("good", 3), metav1.CreateOptions{})
		return err == nil || apierrors.IsAlreadyExists(err), fmt.Sprint(err)
	})
	if _, err := widgets.Create(ctx, widget("bad", 0), metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
		t.Fatalf("want 422 for a size below the minimum, got %v", err)
	}
}

func TestAdmissionRefusesForbiddenPod(t *testing.T) {
	ctx, client, namespace := rig(t)
	waitForServiceAccount(t, ctx, client, namespace)
	_, err := client.CoreV1().Namespaces().Patch(ctx, namespace, "application/merge-patch+json",
		[]byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`), metav1.PatchOptions{})
	must(t, "label the namespace", err)
	privileged := true
	spec := pause()
	spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: &privileged}
	eventually(t, ctx, "the privileged pod is refused", func(ctx context.Context) (bool, string) {
		_, err := client.CoreV1().Pods(namespace).Create(ctx, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "privileged-"}, Spec: spec,
		}, metav1.CreateOptions{})
		return apierrors.IsForbidden(err), fmt.Sprint(err)
	})
}

func TestWatchSeesEveryChange(t *testing.T) {
	ctx, client, namespace := rig(t)
	watcher, err := client.CoreV1().ConfigMaps(namespace).Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=watched"})
	must(t, "watch", err)
	defer watcher.Stop()
	configMap, err := client.CoreV1().ConfigMaps(namespace).Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "watched"}, Data: map[string]string{"step": "one"},
	}, metav1.CreateOptions{})
	must(t, "create", err)
	configMap.Data["step"] = "two"
	_, err = client.CoreV1().ConfigMaps(namespace).Update(ctx, configMap, metav1.UpdateOptions{})
	must(t, "update", err)
	must(t, "delete", client.CoreV1().ConfigMaps(namespace).Delete(ctx, "watched", metav1.DeleteOptions{}))
	for _, want := range []string{"ADDED", "MODIFIED", "DELETED"} {
		select {
		case event := <-watcher.ResultChan():
			if string(event.Type) != want {
				t.Fatalf("want %s, got %s", want, event.Type)
			}
		case <-time.After(patience):
			t.Fatalf("no %s within %s", want, patience)
		}
	}
}

func TestConflictingUpdateIsRefused(t *testing.T) {
	ctx, client, namespace := rig(t)
	first, err := client.CoreV1().ConfigMaps(namespace).Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "shared"},
	}, metav1.CreateOptions{})
	must(t, "create", err)
	stale := first.DeepCopy()
	first.Data = map[string]string{"by": "first"}
	_, err = client.CoreV1().ConfigMaps(namespace).Update(ctx, first, metav1.UpdateOptions{})
	must(t, "update", err)
	stale.Data = map[string]string{"by": "second"}
	if _, err := client.CoreV1().ConfigMaps(namespace).Update(ctx, stale, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Fatalf("want 409, got %v", err)
	}
}

func TestOwnedObjectsAreCollected(t *testing.T) {
	ctx, client, namespace := rig(t)
	owner, err := client.CoreV1().ConfigMaps(namespace).Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "owner"},
	}, metav1.CreateOptions{})
	must(t, "create the owner", err)
	_, err = client.CoreV1().Secrets(namespace).Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Name: "owned",
		OwnerReferences: []metav1.OwnerReference{
			{APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID},
		},
	}}, metav1.CreateOptions{})
	must(t, "create the owned secret", err)
	must(t, "delete the owner", client.CoreV1().ConfigMaps(namespace).Delete(ctx, "owner", metav1.DeleteOptions{}))
	eventually(t, ctx, "the secret is collected", func(ctx context.Context) (bool, string) {
		_, err := client.CoreV1().Secrets(namespace).Get(ctx, "owned", metav1.GetOptions{})
		return apierrors.IsNotFound(err), fmt.Sprint(err)
	})
}

func TestQuotaBoundsObjects(t *testing.T) {
	ctx, client, namespace := rig(t)
	_, err := client.CoreV1().ResourceQuotas(namespace).Create(ctx, &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "few"},
		Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"count/secrets": resource.MustParse("1")}},
	}, metav1.CreateOptions{})
	must(t, "create the quota", err)
	eventually(t, ctx, "the quota is counted", func(ctx context.Context) (bool, string) {
		quota, err := client.CoreV1().ResourceQuotas(namespace).Get(ctx, "few", metav1.GetOptions{})
		if err != nil {
			return false, err.Error()
		}
		return len(quota.Status.Hard) == 1, fmt.Sprint(quota.Status)
	})
	eventually(t, ctx, "a secret too many is refused", func(ctx context.Context) (bool, string) {
		_, err := client.CoreV1().Secrets(namespace).Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "s-"},
		}, metav1.CreateOptions{})
		return apierrors.IsForbidden(err), fmt.Sprint(err)
	})
}

func TestHorizontalPodAutoscalerIsStored(t *testing.T) {
	ctx, client, namespace := rig(t)
	utilization := int32(50)
	_, err := client.AutoscalingV2().HorizontalPodAutoscalers(namespace).Create(ctx, &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"},
			MaxReplicas:    5,
			Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
				Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &utilization},
			}}},
		},
	}, metav1.CreateOptions{})
	must(t, "create", err)
	// The same object through the older version: the API server converts.
	older, err := client.AutoscalingV1().HorizontalPodAutoscalers(namespace).Get(ctx, "web", metav1.GetOptions{})
	must(t, "read as autoscaling/v1", err)
	if older.Spec.TargetCPUUtilizationPercentage == nil || *older.Spec.TargetCPUUtilizationPercentage != utilization {
		t.Fatalf("want %d %%, got %v", utilization, older.Spec.TargetCPUUtilizationPercentage)
	}
}

func TestLeaseChangesHands(t *testing.T) {
	ctx, client, namespace := rig(t)
	leases := client.CoordinationV1().Leases(namespace)
	holder := "first"
	lease, err := leases.Create(ctx, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: "leader"}, Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder},
	}, metav1.CreateOptions{})
	must(t, "create", err)
	next := "second"
	lease.Spec.HolderIdentity = &next
	_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
	must(t, "hand over", err)
	read, err := leases.Get(ctx, "leader", metav1.GetOptions{})
	must(t, "read", err)
	if *read.Spec.HolderIdentity != next {
		t.Fatalf("held by %s", *read.Spec.HolderIdentity)
	}
}

func TestSchedulerWritesEvents(t *testing.T) {
	ctx, client, namespace := rig(t)
	waitForServiceAccount(t, ctx, client, namespace)
	_, err := client.CoreV1().Pods(namespace).Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "placed"}, Spec: pause(),
	}, metav1.CreateOptions{})
	must(t, "create the pod", err)
	eventually(t, ctx, "the event Scheduled", func(ctx context.Context) (bool, string) {
		events, err := client.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{
			FieldSelector: "involvedObject.name=placed,reason=Scheduled",
		})
		if err != nil {
			return false, err.Error()
		}
		return len(events.Items) > 0, "no event"
	})
}
