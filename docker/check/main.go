// Reads what other programs will read, with their own code: a compose file with the library that Docker Compose is built
// on, and Kubernetes manifests with the types of Kubernetes and of the Prometheus Operator, where a field that they do not
// have is an error.
//
//	check compose FILE     prints the project as Compose understands it, as JSON
//	check manifests FILE   prints one line for each manifest
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/compose-spec/compose-go/v2/cli"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	documents "k8s.io/apimachinery/pkg/util/yaml"
	strictjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

var kinds = map[string]func() any{
	"v1 Namespace":                            func() any { return &core.Namespace{} },
	"v1 ConfigMap":                            func() any { return &core.ConfigMap{} },
	"v1 Secret":                               func() any { return &core.Secret{} },
	"v1 Service":                              func() any { return &core.Service{} },
	"v1 ServiceAccount":                       func() any { return &core.ServiceAccount{} },
	"apps/v1 Deployment":                      func() any { return &apps.Deployment{} },
	"apps/v1 StatefulSet":                     func() any { return &apps.StatefulSet{} },
	"batch/v1 CronJob":                        func() any { return &batch.CronJob{} },
	"networking.k8s.io/v1 NetworkPolicy":      func() any { return &networking.NetworkPolicy{} },
	"policy/v1 PodDisruptionBudget":           func() any { return &policy.PodDisruptionBudget{} },
	"monitoring.coreos.com/v1 ServiceMonitor": func() any { return &monitoring.ServiceMonitor{} },
	"monitoring.coreos.com/v1 PrometheusRule": func() any { return &monitoring.PrometheusRule{} },
}

func main() {
	if len(os.Args) != 3 {
		fail(errors.New("usage: check compose|manifests FILE"))
	}
	what, path := os.Args[1], os.Args[2]
	switch what {
	case "compose":
		fail(compose(path))
	case "manifests":
		fail(manifests(path))
	default:
		fail(fmt.Errorf("there is no %q: compose or manifests", what))
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func compose(path string) error {
	options, err := cli.NewProjectOptions([]string{path}, cli.WithOsEnv, cli.WithProfiles([]string{"*"}))
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(project)
}

func manifests(path string) error {
	file, err := os.Open(filepath.Clean(path))
	if err != nil {
		return err
	}
	defer file.Close()
	reader := documents.NewYAMLReader(bufio.NewReader(file))
	for {
		text, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		var kind meta.TypeMeta
		if err := yaml.Unmarshal(text, &kind); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		name := kind.APIVersion + " " + kind.Kind
		made, ok := kinds[name]
		if !ok {
			return fmt.Errorf("%s: %q is of no kind that is known here", path, name)
		}
		value := made()
		// As the API server reads it: names of fields with their capitals, which Go's own JSON does not mind.
		asJSON, err := yaml.YAMLToJSONStrict(text)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", path, name, err)
		}
		strict, err := strictjson.UnmarshalStrict(asJSON, value)
		if err := errors.Join(append(strict, err)...); err != nil {
			return fmt.Errorf("%s: %s: %w", path, name, err)
		}
		fmt.Printf("%s: %s %s\n", path, name, value.(meta.Object).GetName())
	}
}
